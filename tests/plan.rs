//! Plans, without a device: the kernel for every row length, windows that fit, and shapes no memory holds.

use std::sync::Arc;

use wgpu_softmax::{
    AdapterKey, Axes, Candidate, Capabilities, Dtype, Error, Kernel, Op, Options, Output, Plan, Rows, Tuning,
    wgpu,
};

fn graphics_card() -> Capabilities {
    let limits = wgpu::Limits {
        max_storage_buffer_binding_size: 4 << 30,
        max_buffer_size: 64 << 30,
        max_compute_invocations_per_workgroup: 1024,
        max_compute_workgroup_size_x: 1024,
        ..wgpu::Limits::defaults()
    };
    Capabilities::of("a graphics card", &limits, Some(32), false)
}

fn without_subgroups() -> Capabilities {
    Capabilities::webgpu_defaults()
}

fn software() -> Capabilities {
    Capabilities::of("a software adapter", &wgpu::Limits::defaults(), Some(8), true)
}

fn plan(rows: Rows, capabilities: &Capabilities) -> Plan {
    Plan::new(Op::Softmax, Dtype::F32, &rows, &Options::default(), capabilities).unwrap()
}

fn kernel(classes: u64, capabilities: &Capabilities) -> Kernel {
    plan(Rows::batch(10, classes).unwrap(), capabilities).kernel()
}

#[test]
fn the_kernel_goes_by_the_length_of_the_row() {
    use Kernel::{LanePerColumn, SplitRow, SubgroupPerRow, WorkgroupPerRow};
    for (capabilities, expected) in [
        (
            graphics_card(),
            [SubgroupPerRow, SubgroupPerRow, WorkgroupPerRow, WorkgroupPerRow, WorkgroupPerRow],
        ),
        (software(), [SubgroupPerRow, SubgroupPerRow, SplitRow, SplitRow, SplitRow]),
        (without_subgroups(), [LanePerColumn, WorkgroupPerRow, WorkgroupPerRow, WorkgroupPerRow, SplitRow]),
    ] {
        assert_eq!(kernel(32_769, &capabilities), SplitRow);
        let chosen = [10, 1000, 4096, 16_384, 16_385].map(|classes| kernel(classes, &capabilities));
        assert_eq!(chosen, expected, "{}", capabilities.name);
    }
}

#[test]
fn an_axis_that_is_not_the_last_goes_by_columns() {
    use Kernel::{LanePerColumn, SplitRow, TileOfColumns};
    for (classes, expected) in [(2, LanePerColumn), (16_384, LanePerColumn), (16_385, SplitRow)] {
        assert_eq!(plan(Rows::new(2, classes, 3).unwrap(), &software()).kernel(), expected);
    }
    for capabilities in [graphics_card(), without_subgroups()] {
        for (classes, inner, expected) in [
            (1, 2, TileOfColumns),
            (64, 5, TileOfColumns),
            (64, 63, TileOfColumns),
            (64, 64, LanePerColumn),
            (65, 64, TileOfColumns),
            (1024, 1000, TileOfColumns),
            (1025, 1000, SplitRow),
            (10_000, 3, SplitRow),
        ] {
            let rows = Rows::new(2, classes, inner).unwrap();
            assert_eq!(plan(rows, &capabilities).kernel(), expected, "{classes} × {inner}");
        }
    }
    // Workgroups of fewer invocations than a column has lanes: nothing that WebGPU allows.
    let mut narrow = without_subgroups();
    narrow.max_invocations = 8;
    assert_eq!(plan(Rows::new(2, 100, 3).unwrap(), &narrow).kernel(), LanePerColumn);
}

/// Lanes, chunks and so the bits of a column go by its length alone, and no lane has much more to do than another.
#[test]
fn the_lanes_of_a_column_go_by_its_length() {
    let lanes_of = |classes: u64, inner: u64, outer: u64| {
        let text = plan(Rows::new(outer, classes, inner).unwrap(), &graphics_card()).to_string();
        let lanes = text.split(" lane(s) a row, workgroups").next().unwrap().rsplit(' ').next().unwrap();
        let chunks = text.lines().find(|line| line.starts_with("chunks")).unwrap_or("").to_string();
        (lanes.parse::<u64>().unwrap(), chunks)
    };
    for classes in (1..200).chain([500, 1000, 1024, 1025, 2047, 2049, 10_000, 131_072, 131_073, 1_000_003]) {
        let (lanes, chunks) = lanes_of(classes, 3, 1);
        assert_eq!(lanes, classes.div_ceil(4).min(16));
        for (inner, outer) in [(2, 1), (5, 100), (7, 3), (1000, 1), (3, 65_536)] {
            let (here, chunks_here) = lanes_of(classes, inner, outer);
            // A lane that has a short column of a wide slab to itself adds it up as several would.
            assert!(here == lanes || here == 1 && classes <= 64 && inner >= 64, "{classes} × {inner}");
            assert_eq!(chunks, chunks_here);
        }
        // Its bytes are those of neighbouring lengths, but for the step from what lanes hold to what is split.
        let rows = Rows::new(1, classes, 1000).unwrap();
        let per_element = plan(rows, &graphics_card()).moved_bytes() as f64 / rows.elements() as f64;
        let most = match classes {
            1..=1024 => 8.0,
            1025..=131_072 => 12.1,
            _ => 16.1,
        };
        assert!(per_element <= most, "{classes}: {per_element}");
    }
}

#[test]
fn the_kernel_does_not_depend_on_the_number_of_rows() {
    for capabilities in [graphics_card(), software(), without_subgroups()] {
        for classes in [1, 2, 31, 33, 781, 1025, 16_384, 50_257, 1_000_003] {
            let kernels: Vec<_> = [1, 2, 65_535, 65_536, 1_000_000, 1 << 40]
                .map(|count| plan_or_none(count, classes, &capabilities))
                .into_iter()
                .flatten()
                .collect();
            assert!(kernels.len() > 3);
            assert!(kernels.windows(2).all(|pair| pair[0] == pair[1]), "{classes} {kernels:?}");
        }
    }
}

fn plan_or_none(count: u64, classes: u64, capabilities: &Capabilities) -> Option<Kernel> {
    let rows = Rows::batch(count, classes).unwrap();
    Plan::new(Op::Softmax, Dtype::F32, &rows, &Options::default(), capabilities)
        .ok()
        .map(|plan| plan.kernel())
}

#[test]
fn more_elements_than_32_bits_count() {
    // 2³³ elements: 32 GiB of logits.
    let rows = Rows::batch(1 << 20, 1 << 13).unwrap();
    let plan = plan(rows, &without_subgroups());
    assert!(plan.windows() > (32 << 30) / (128 << 20));
    assert_eq!(plan.floor_bytes(), 64 << 30);
}

#[test]
fn a_row_over_several_bindings() {
    // One row of a gigabyte, in bindings of 128 MiB.
    let plan = plan(Rows::batch(3, 1 << 28).unwrap(), &without_subgroups());
    assert_eq!(plan.kernel(), Kernel::SplitRow);
    assert!(plan.windows() >= 3 * 8);
    assert!(plan.scratch_bytes() <= 1 << 20);
}

#[test]
fn more_rows_than_one_dimension_of_a_grid() {
    let mut capabilities = graphics_card();
    capabilities.dispatch_elements = u64::MAX;
    let plan = plan(Rows::batch(1_000_000, 2000).unwrap(), &capabilities);
    assert_eq!(plan.kernel(), Kernel::WorkgroupPerRow);
    assert!(plan.to_string().contains("65535 × "), "{plan}");
}

#[test]
fn dispatches_stay_short() {
    let mut capabilities = graphics_card();
    capabilities.dispatch_elements = 1 << 20;
    for rows in [Rows::batch(1 << 14, 1000), Rows::new(1 << 10, 100, 160), Rows::batch(1 << 20, 16)] {
        let rows = rows.unwrap();
        let short = plan(rows, &capabilities);
        let slabs = (1 << 20) / (rows.classes() * rows.inner());
        assert_eq!(short.windows(), rows.outer().div_ceil(slabs), "{short}");
        let most = slabs * rows.classes() * rows.inner();
        assert!(short.to_string().contains(&format!("up to {most} elements in one dispatch")), "{short}");
    }
    // Rows, Jacobians and slabs of columns of more are cut for it.
    for (op, rows) in [
        (Op::Softmax, Rows::batch(3, 1 << 21)),
        (Op::LogSumExp, Rows::new(2, 3000, 1000)),
        (Op::Softmax, Rows::new(1, 20_000, 5000)),
        (Op::Jacobian, Rows::batch(3, 2048)),
    ] {
        let rows = rows.unwrap();
        let plan = Plan::new(op, Dtype::F32, &rows, &Options::default(), &capabilities).unwrap();
        let elements = rows.elements().max(rows.result(op).elements());
        assert!(plan.windows() >= elements.div_ceil(1 << 20), "{plan}");
        assert!(plan.windows() <= 2 * elements.div_ceil(1 << 20), "{plan}");
        let told = plan.to_string();
        let (_, most) = told.split_once("up to ").unwrap();
        let most: u64 = most.split(' ').next().unwrap().parse().unwrap();
        assert!(most <= 1 << 20, "{plan}");
    }
}

#[test]
fn nothing_to_do_dispatches_nothing() {
    for rows in [Rows::batch(0, 5).unwrap(), Rows::batch(5, 0).unwrap(), Rows::new(2, 3, 0).unwrap()] {
        assert_eq!(plan(rows, &software()).dispatches(), 0);
    }
    let options = Options::default();
    let empty_rows = Rows::batch(5, 0).unwrap();
    let sums = Plan::new(Op::LogSumExp, Dtype::F32, &empty_rows, &options, &software()).unwrap();
    assert_eq!(sums.dispatches(), 1);
}

#[test]
fn a_slab_without_classes_may_still_be_too_large() {
    let rows = Rows::new(2, 0, 1 << 31).unwrap();
    let sums = Plan::new(Op::LogSumExp, Dtype::F32, &rows, &Options::default(), &software());
    assert!(matches!(sums, Err(Error::LimitExceeded { .. })));
}

#[test]
fn a_kernel_that_cannot_serve_is_an_error() {
    let unsuitable = |rows: Rows, kernel, capabilities: &Capabilities| {
        let options = Options::default().kernel(kernel);
        matches!(
            Plan::new(Op::Softmax, Dtype::F32, &rows, &options, capabilities),
            Err(Error::KernelUnsuitable { .. })
        )
    };
    let columns = Rows::new(2, 100, 3).unwrap();
    assert!(unsuitable(columns, Kernel::SubgroupPerRow, &software()));
    assert!(unsuitable(columns, Kernel::WorkgroupPerRow, &software()));
    assert!(unsuitable(Rows::batch(2, 100).unwrap(), Kernel::SubgroupPerRow, &without_subgroups()));
    assert!(unsuitable(Rows::batch(2, 16_385).unwrap(), Kernel::LanePerColumn, &software()));
    assert!(unsuitable(Rows::batch(2, 1_000_003).unwrap(), Kernel::SubgroupPerRow, &software()));
    assert!(!unsuitable(columns, Kernel::SplitRow, &software()));
}

#[test]
fn f64_is_for_the_cpu() {
    let rows = Rows::batch(2, 100).unwrap();
    let error = Plan::new(Op::Softmax, Dtype::F64, &rows, &Options::default(), &software()).unwrap_err();
    assert!(matches!(error, Error::UnsupportedDtype { dtype: Dtype::F64, .. }));
    assert!(error.to_string().contains("run on the CPU"), "{error}");
}

#[test]
fn classes_beyond_32_bits_are_refused() {
    let rows = Rows::batch(1, 1 << 32).unwrap();
    let error = Plan::new(Op::Softmax, Dtype::F32, &rows, &Options::default(), &graphics_card()).unwrap_err();
    assert!(matches!(error, Error::LimitExceeded { .. }));
}

#[test]
fn windows_beyond_counting_are_refused() {
    let rows = Rows::batch(1 << 50, 1 << 10).unwrap();
    let error = Plan::new(Op::Softmax, Dtype::F32, &rows, &Options::default(), &software()).unwrap_err();
    assert!(matches!(error, Error::LimitExceeded { what: "the number of windows", .. }));
}

#[test]
fn a_plan_explains_itself() {
    let text = plan(Rows::batch(4096, 50_257).unwrap(), &graphics_card()).to_string();
    for part in
        ["softmax of 4096 rows of 50257 classes", "split_row, since", "chunks", "scratch", "at the least"]
    {
        assert!(text.contains(part), "{part} in {text}");
    }
}

#[test]
fn rows_of_shapes() {
    let of = |shape: &[usize], axes: Axes| {
        let rows = Rows::of_shape(shape, &axes).unwrap();
        [rows.outer(), rows.classes(), rows.inner()]
    };
    assert_eq!(of(&[5], Axes::from(0)), [1, 5, 1]);
    assert_eq!(of(&[2, 3, 4, 5], Axes::from(-1)), [24, 5, 1]);
    assert_eq!(of(&[2, 3, 4, 5], Axes::from(0)), [1, 2, 60]);
    assert_eq!(of(&[2, 3, 4, 5], Axes::from([2, 1])), [2, 12, 5]);
    assert_eq!(of(&[2, 3, 4, 5], Axes::from(..)), [1, 120, 1]);
    assert_eq!(of(&[2, 1, 4, 5], Axes::from([0, 2])), [1, 8, 5]);
    assert_eq!(of(&[], Axes::from(..)), [1, 1, 1]);
    assert_eq!(of(&[3, 0], Axes::from(-1)), [3, 0, 1]);
    assert_eq!(of(&[0, 3], Axes::from(-1)), [0, 3, 1]);
    assert_eq!(of(&[2, 3], Axes::Several(vec![])), [6, 1, 1]);
}

#[test]
fn axes_that_do_not_fit() {
    let of = |shape: &[usize], axes: Axes| Rows::of_shape(shape, &axes).unwrap_err();
    let error = of(&[2, 3], Axes::from(2));
    assert_eq!(error, Error::AxisOutOfRange { axis: 2, rank: 2 });
    assert!(error.to_string().contains("from -2 to 1"), "{error}");
    assert_eq!(of(&[2, 3], Axes::from(-3)), Error::AxisOutOfRange { axis: -3, rank: 2 });
    assert_eq!(of(&[2, 3], Axes::from(isize::MIN)), Error::AxisOutOfRange { axis: isize::MIN, rank: 2 });
    assert_eq!(of(&[], Axes::from(0)), Error::AxisOutOfRange { axis: 0, rank: 0 });
    assert_eq!(of(&[2, 3], Axes::from([1, -1])), Error::AxisRepeated { axis: 1 });
    assert!(matches!(of(&[2, 3, 4], Axes::from([0, 2])), Error::AxesNotAdjacent { .. }));
    let huge = usize::MAX / 2;
    assert!(matches!(of(&[huge, 3], Axes::from(0)), Error::SizeOverflow { .. }));
    assert!(matches!(of(&[huge, huge, 0], Axes::from(0)), Error::SizeOverflow { .. }));
}

#[test]
fn rows_that_do_not_fit() {
    assert!(matches!(Rows::batch(u64::MAX, 2), Err(Error::SizeOverflow { .. })));
    let rows = Rows::batch(4, 10).unwrap();
    assert_eq!(rows.with_pitch(9), Err(Error::PitchTooSmall { pitch: 9, needed: 10 }));
    assert!(matches!(rows.with_pitch(u64::MAX), Err(Error::SizeOverflow { .. })));
    assert!(matches!(rows.with_offset(u64::MAX), Err(Error::SizeOverflow { .. })));
    assert_eq!(rows.with_pitch(16).unwrap().with_offset(3).unwrap().extent(), 3 + 3 * 16 + 10);
}

fn adapter(name: &str, driver: &str) -> AdapterKey {
    let mut info = wgpu::AdapterInfo::new(wgpu::DeviceType::DiscreteGpu, wgpu::Backend::Vulkan);
    (info.name, info.driver_info) = (name.into(), driver.into());
    AdapterKey::of(&info)
}

fn with_table(capabilities: Capabilities, table: Tuning) -> Capabilities {
    let mut capabilities = capabilities;
    capabilities.adapter = Some(adapter("card", "1.0"));
    capabilities.tuning = Some(Arc::new(table));
    capabilities
}

fn with_entry(capabilities: Capabilities, classes: u64, kernel: Kernel, lanes: u32) -> Capabilities {
    let mut table = Tuning::new(adapter("card", "1.0"));
    assert!(table.set(Output::PerElement, Dtype::F32, classes, Candidate::Kernel { kernel, lanes }));
    with_table(capabilities, table)
}

fn tuned(rows: Rows, capabilities: &Capabilities) -> Plan {
    Plan::new(Op::Softmax, Dtype::F32, &rows, &Options::default().tuned(true), capabilities).unwrap()
}

/// What a plan does, without the reason for it.
fn deeds(plan: &Plan) -> String {
    let text = plan.to_string();
    text.lines().filter(|line| !line.starts_with("kernel ")).collect::<Vec<_>>().join("\n")
        + plan.kernel().name()
}

#[test]
fn a_table_chooses_kernel_and_lanes_by_length_values_and_type_alone() {
    let card = with_entry(graphics_card(), 1000, Kernel::WorkgroupPerRow, 64);
    for count in [1, 10, 65_536, 1 << 30] {
        let plan = tuned(Rows::batch(count, 513).unwrap(), &card);
        assert_eq!(plan.kernel(), Kernel::WorkgroupPerRow);
        assert!(plan.is_tuned() && plan.why().ends_with("(tuned)"), "{}", plan.why());
        assert!(plan.to_string().contains("64 lane(s) a row"), "{plan}");
    }
    for (op, dtype, classes) in [
        (Op::Softmax, Dtype::F32, 512),
        (Op::Softmax, Dtype::F32, 1025),
        (Op::Softmax, Dtype::F16, 1000),
        (Op::LogSumExp, Dtype::F32, 1000),
        (Op::CrossEntropy, Dtype::F32, 1000),
    ] {
        let rows = Rows::batch(10, classes).unwrap();
        let of = |options: Options| Plan::new(op, dtype, &rows, &options, &card).unwrap();
        let plan = of(Options::default().tuned(true));
        assert!(plan.why().contains("(built-in: the table has nothing for rows of"), "{}", plan.why());
        assert_eq!(deeds(&plan), deeds(&of(Options::default())));
    }
    for op in [Op::LogSoftmax, Op::Vjp, Op::CrossEntropyGradient] {
        let rows = Rows::batch(10, 1000).unwrap();
        let plan = Plan::new(op, Dtype::F32, &rows, &Options::default().tuned(true), &card).unwrap();
        assert!(plan.is_tuned() && plan.kernel() == Kernel::WorkgroupPerRow, "{op}");
    }
}

#[test]
fn a_table_that_nobody_asks_for_changes_nothing() {
    let card = with_entry(graphics_card(), 1000, Kernel::WorkgroupPerRow, 64);
    let rows = Rows::batch(10, 1000).unwrap();
    assert_eq!(plan(rows, &card).to_string(), plan(rows, &graphics_card()).to_string());
    assert!(plan(rows, &card).why().ends_with("(built-in)"));
    // A kernel that is asked for is what is got, and columns and Jacobians are not measured.
    let asked = Options::default().tuned(true).kernel(Kernel::SplitRow);
    let asked = Plan::new(Op::Softmax, Dtype::F32, &rows, &asked, &card).unwrap();
    assert_eq!((asked.kernel(), asked.why()), (Kernel::SplitRow, "it was asked for"));
    let columns = Rows::new(2, 1000, 3).unwrap();
    assert_eq!(tuned(columns, &card).to_string(), plan(columns, &graphics_card()).to_string());
    let of = |options| Plan::new(Op::Jacobian, Dtype::F32, &rows, &options, &card).unwrap().to_string();
    assert_eq!(of(Options::default()), of(Options::default().tuned(true)));
}

#[test]
fn a_table_of_another_adapter_or_driver_is_not_gone_by() {
    let rows = Rows::batch(10, 1000).unwrap();
    let mut card = with_entry(graphics_card(), 1000, Kernel::WorkgroupPerRow, 64);
    for (here, said) in [
        (
            Some(adapter("card", "1.1")),
            "measured on card (discrete, vulkan, 1.0), and this is card (discrete, vulkan, 1.1)",
        ),
        (Some(adapter("another card", "1.0")), "and this is another card"),
        (None, "and this is no adapter"),
    ] {
        card.adapter = here;
        let plan = tuned(rows, &card);
        assert!(!plan.is_tuned() && plan.why().contains("(built-in: the table was"), "{}", plan.why());
        assert!(plan.why().contains(said), "{}", plan.why());
        assert_eq!(deeds(&plan), deeds(&self::plan(rows, &graphics_card())));
    }
    let plan = tuned(rows, &graphics_card());
    assert!(plan.why().ends_with("(built-in: there is no table for this device)"), "{}", plan.why());
}

#[test]
fn what_a_device_cannot_do_is_not_taken_from_a_table() {
    use Kernel::{LanePerColumn, SplitRow, SubgroupPerRow, TileOfColumns, WorkgroupPerRow};
    for (device, classes, kernel, lanes) in [
        (graphics_card(), 1000, WorkgroupPerRow, 0),
        (graphics_card(), 1000, WorkgroupPerRow, 8),
        (graphics_card(), 1000, WorkgroupPerRow, 48),
        (graphics_card(), 1000, WorkgroupPerRow, 1 << 31),
        (graphics_card(), 1000, SubgroupPerRow, 64),
        (graphics_card(), 1000, LanePerColumn, 2),
        (graphics_card(), 1000, TileOfColumns, 8),
        (graphics_card(), 1000, TileOfColumns, 32),
        (graphics_card(), 100_000, SplitRow, 1),
        (graphics_card(), 100_000, LanePerColumn, 1),
        (software(), 1000, SubgroupPerRow, 16),
        (software(), 1000, WorkgroupPerRow, 512),
        (software(), 1_000_000, SubgroupPerRow, 8),
        (without_subgroups(), 1000, SubgroupPerRow, 8),
        (without_subgroups(), 1000, WorkgroupPerRow, 512),
    ] {
        let rows = Rows::batch(10, classes).unwrap();
        let plan = tuned(rows, &with_entry(device.clone(), classes, kernel, lanes));
        let told = format!("{kernel} {lanes} on {}: {}", device.name, plan.why());
        assert!(!plan.is_tuned() && plan.why().contains(&format!("the table has {kernel}, but ")), "{told}");
        assert_eq!(deeds(&plan), deeds(&self::plan(rows, &device)), "{told}");
    }
    // A row that no binding covers is split, whatever was measured.
    let mut narrow = with_entry(graphics_card(), 4000, WorkgroupPerRow, 256);
    narrow.binding_bytes = 8192;
    assert_eq!(tuned(Rows::batch(10, 4000).unwrap(), &narrow).kernel(), SplitRow);
}

#[test]
fn candidates_serve_their_whole_span() {
    for device in [graphics_card(), software(), without_subgroups()] {
        for classes in [1u64, 2, 3, 10, 33, 1000, 5000, 50_257, 1 << 20] {
            for (op, dtype) in [(Op::Softmax, Dtype::F32), (Op::LogSumExp, Dtype::F16)] {
                let candidates = Tuning::candidates(op, dtype, classes, &device);
                assert_eq!(candidates[0], Candidate::BuiltIn);
                assert!(candidates.len() <= 16, "{candidates:?}");
                assert!(candidates.len() > 1 || classes < 100, "{classes} on {}", device.name);
                for candidate in candidates {
                    let mut table = Tuning::new(adapter("card", "1.0"));
                    table.set(op.output(), dtype, classes, candidate);
                    let device = with_table(device.clone(), table);
                    let span = Tuning::span(classes).unwrap();
                    for classes in [*span.start(), classes, *span.end()] {
                        let rows = Rows::batch(100, classes).unwrap();
                        let plan =
                            Plan::new(op, dtype, &rows, &Options::default().tuned(true), &device).unwrap();
                        assert!(plan.is_tuned(), "{candidate} for {classes}: {}", plan.why());
                    }
                }
            }
        }
        assert!(Tuning::candidates(Op::Jacobian, Dtype::F32, 10, &device).is_empty());
        assert!(Tuning::candidates(Op::Softmax, Dtype::F64, 10, &device).is_empty());
        assert!(Tuning::candidates(Op::Softmax, Dtype::F32, 0, &device).is_empty());
        assert!(Tuning::candidates(Op::Softmax, Dtype::F32, (1 << 20) + 1, &device).is_empty());
    }
}

#[test]
fn spans_end_at_powers_of_two() {
    let spans = [0, 1, 2, 3, 4, 5, 1024, 1025, 1 << 20, (1 << 20) + 1, u64::MAX].map(Tuning::span);
    let expected = [
        None,
        Some(1..=1),
        Some(2..=2),
        Some(3..=4),
        Some(3..=4),
        Some(5..=8),
        Some(513..=1024),
        Some(1025..=2048),
    ];
    assert_eq!(spans[..8], expected);
    assert_eq!(spans[8..], [Some((1 << 19) + 1..=1 << 20), None, None]);
}

#[test]
fn tables_are_text() {
    let mut table = Tuning::new(adapter("a  card\nof two lines", ""));
    assert_eq!(table.adapter().name, "a card of two lines");
    let entries = [
        (Output::TwoPerRow, Dtype::Bf16, 1 << 20, Candidate::Kernel { kernel: Kernel::SplitRow, lanes: 256 }),
        (Output::PerElement, Dtype::F32, 1, Candidate::BuiltIn),
        (Output::PerElement, Dtype::F16, 7, Candidate::Kernel { kernel: Kernel::SubgroupPerRow, lanes: 2 }),
    ];
    for (output, dtype, classes, fastest) in entries {
        assert!(table.set(output, dtype, classes, Candidate::BuiltIn));
        assert!(table.set(output, dtype, classes, fastest));
        assert_eq!(table.get(output, dtype, classes), Some(fastest));
    }
    for (output, dtype, classes) in
        [(Output::PerPair, Dtype::F32, 7), (Output::PerRow, Dtype::F64, 7), (Output::PerRow, Dtype::F32, 0)]
    {
        assert!(!table.set(output, dtype, classes, Candidate::BuiltIn));
        assert_eq!(table.get(output, dtype, classes), None);
    }
    let text = table.to_string();
    assert_eq!(text.parse::<Tuning>().unwrap(), table, "{text}");
    assert_eq!(text.replace('\n', "\r\n").parse::<Tuning>().unwrap(), table);
    assert_eq!(text.lines().filter(|line| line.starts_with("per-")).count(), 3, "{text}");
}

#[test]
fn what_is_no_table_is_an_error_that_names_the_line() {
    let head = "wgpu-softmax tuning 1\nname a\nbackend vulkan\nkind discrete\ndriver\n";
    assert!(head.parse::<Tuning>().is_ok());
    for (text, wrong, said) in [
        (String::new(), 1, "wgpu-softmax tuning 1"),
        (head.replace("tuning 1", "tuning 2"), 1, "this version"),
        (head.replace("kind", "sort"), 4, "kind"),
        (head.replace("driver\n", ""), 5, "driver"),
        (format!("{head}per-element f32"), 6, "an entry is"),
        (format!("{head}\n# so\nper-pair f32 8 built-in"), 8, "per-pair"),
        (format!("{head}per-row f64 8 built-in"), 6, "f64"),
        (format!("{head}per-row f32 7 built-in"), 6, "power of two"),
        (format!("{head}per-row f32 0 built-in"), 6, "power of two"),
        (format!("{head}per-row f32 2097152 built-in"), 6, "power of two"),
        (format!("{head}per-row f32 -8 built-in"), 6, "power of two"),
        (format!("{head}per-row f32 8 built-in 3"), 6, "built-in"),
        (format!("{head}per-row f32 8 jacobian 3"), 6, "jacobian"),
        (format!("{head}per-row f32 8 split_row"), 6, "its lanes"),
        (format!("{head}per-row f32 8 split_row many"), 6, "many"),
        (format!("{head}per-row f32 8 split_row 4294967296"), 6, "no number"),
        (format!("{head}per-row f32 8 built-in\nper-row f32 8 built-in"), 7, "already"),
    ] {
        match text.parse::<Tuning>() {
            Err(Error::TuningUnreadable { line, why }) => {
                assert!(line == wrong && why.contains(said), "{line}: {why}\n{text}");
            }
            other => panic!("{other:?}\n{text}"),
        }
    }
}

/// Of Jacobians whose rows do not consist of quads, the plan says whether their blocks do.
#[test]
fn blocks_of_jacobians_by_the_number_of_classes() {
    let told = |rows: Rows, capabilities: &Capabilities| {
        let plan = Plan::new(Op::Jacobian, Dtype::F32, &rows, &Options::default(), capabilities).unwrap();
        let text = plan.to_string();
        let line = text.lines().find(|line| line.starts_with("result"));
        line.map(|line| line.contains("4 at a time"))
    };
    let batch = |classes: u64| Rows::batch(10, classes).unwrap();
    let some = |classes: u64, rows: u64| batch(classes).with_jacobian_rows(1..1 + rows).unwrap();
    let card = graphics_card();
    for (rows, expected) in [
        (batch(5), Some(false)),
        (batch(10), Some(true)),
        (batch(12), None),
        (batch(101), Some(false)),
        (batch(1022), Some(true)),
        (batch(1023), Some(false)),
        (batch(1026), None),
        (some(10, 4), Some(true)),
        (some(10, 3), Some(false)),
        (some(9, 4), Some(true)),
    ] {
        assert_eq!(told(rows, &card), expected, "{rows}");
    }
    let mut small = graphics_card();
    small.workgroup_bytes = 2000;
    assert_eq!((told(batch(10), &small), told(batch(500), &small)), (Some(true), None));
}
