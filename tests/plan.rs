//! Plans, without a device: the kernel for every row length, windows that fit, and shapes no memory holds.

use wgpu_softmax::{Axes, Capabilities, Dtype, Error, Kernel, Op, Options, Plan, Rows, wgpu};

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
        (software(), [SubgroupPerRow, SubgroupPerRow, SubgroupPerRow, SubgroupPerRow, SplitRow]),
        (without_subgroups(), [LanePerColumn, WorkgroupPerRow, WorkgroupPerRow, WorkgroupPerRow, SplitRow]),
    ] {
        assert_eq!(kernel(32_769, &capabilities), SplitRow);
        let chosen = [10, 1000, 4096, 16_384, 16_385].map(|classes| kernel(classes, &capabilities));
        assert_eq!(chosen, expected, "{}", capabilities.name);
    }
}

#[test]
fn an_axis_that_is_not_the_last_goes_by_columns() {
    for capabilities in [graphics_card(), software(), without_subgroups()] {
        for (classes, expected) in
            [(2, Kernel::LanePerColumn), (16_384, Kernel::LanePerColumn), (16_385, Kernel::SplitRow)]
        {
            assert_eq!(plan(Rows::new(2, classes, 3).unwrap(), &capabilities).kernel(), expected);
        }
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
    let plan = plan(Rows::batch(1_000_000, 2000).unwrap(), &graphics_card());
    assert_eq!(plan.kernel(), Kernel::WorkgroupPerRow);
    assert!(plan.to_string().contains("65535 × "), "{plan}");
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
