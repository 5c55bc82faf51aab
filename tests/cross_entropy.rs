//! Cross-entropy: all combinations of labels, weights, ignored labels, smoothing, z-loss and reduction, with
//! the classes on any axis; target probabilities; what the contract says of the special rows; the gradient
//! against finite differences.

mod common;

use common::adjusted::{Adjusted, Layout, Temperatures};
use common::device::devices;
use common::loss::{LabelArray, Loss, Target, WorstOfLoss};
use common::rows_of_interest::{Character, Random};
use common::stored::Stored;
use wgpu_softmax::{
    Adjustment, CrossEntropy, Dtype, Element, Elements, Error, FullyMasked, Given, LossMemory, Losses, Op,
    Options, Reduction, bf16, f16,
};

const REDUCTIONS: [Reduction; 3] = [Reduction::None, Reduction::Sum, Reduction::Mean];

/// An array and the axis of its classes, as PyTorch and ONNX lay them out, and otherwise.
fn layouts() -> [Layout; 6] {
    [
        Layout::new(&[9, 5], &[1]),
        Layout::new(&[4, 7, 3], &[1]),
        Layout::new(&[2, 6, 3, 2], &[1]),
        Layout::new(&[5, 8], &[0]),
        Layout::new(&[2, 3, 4], &[2]),
        Layout::new(&[2, 3, 4], &[0, 2]),
    ]
}

fn random_labels(rows: usize, classes: usize, seed: u64) -> Vec<i64> {
    let random = &mut Random::new(seed);
    (0..rows).map(|_| random.below(classes) as i64).collect()
}

/// Every fourth row's label replaced with `ignored`.
fn some_ignored(labels: &[i64], ignored: i64) -> Vec<i64> {
    labels.iter().enumerate().map(|(row, &label)| if row % 4 == 1 { ignored } else { label }).collect()
}

/// Class weights, the last one 0 where there are several.
fn class_weights(dtype: Dtype, classes: usize) -> Stored {
    let random = &mut Random::new(classes as u64);
    let weight = |class| if class > 0 && class + 1 == classes { 0.0 } else { random.between(0.2, 2.0) };
    Stored::of(dtype, (0..classes).map(weight))
}

/// Rows of target probabilities, some of them 0.
fn target_probabilities(dtype: Dtype, layout: &Layout) -> Stored {
    let random = &mut Random::new(layout.elements() as u64);
    let mut values = vec![0.0; layout.elements()];
    for places in layout.places() {
        let shares: Vec<f64> =
            places.iter().map(|_| if random.below(3) == 0 { 0.0 } else { random.unit() }).collect();
        let sum: f64 = shares.iter().sum::<f64>().max(1e-3);
        places.iter().zip(shares).for_each(|(&place, share)| values[place] = share / sum);
    }
    Stored::of(dtype, values)
}

fn loss_of(logits: Stored, layout: &Layout, labels: &[i64]) -> Loss {
    let mut loss = Loss::new(logits, &layout.shape, 0, labels);
    loss.layout = layout.clone();
    loss
}

fn told(what: &str, worst: WorstOfLoss) {
    let WorstOfLoss { loss, gradient, entropy } = worst;
    println!(
        "{what}: at worst {loss:.2} u of a loss, {gradient:.2} of a gradient, {entropy:.2} of an entropy"
    );
}

#[test]
fn all_combinations() {
    // What each type of label has for one that is ignored.
    let ignored = [-100, i64::MIN, i64::from(u32::MAX), 255];
    for dtype in Dtype::ALL {
        let mut worst = WorstOfLoss::default();
        let mut case = 0;
        for layout in layouts() {
            let classes = layout.classes();
            let logits = Stored::row(dtype, Character::Normal, layout.elements(), 3);
            let labels = random_labels(layout.rows(), classes, 4);
            for (kind, of_type) in LabelArray::TYPES.into_iter().enumerate() {
                for choices in 0..16 {
                    for reduction in REDUCTIONS {
                        case += 1;
                        // All types of labels with f32, the others in turn.
                        if dtype != Dtype::F32 && case % 4 != 0 {
                            continue;
                        }
                        let mut loss = loss_of(logits.clone(), &layout, &labels);
                        let has = |choice: usize| choices >> choice & 1 == 1;
                        loss.weights = has(0).then(|| class_weights(dtype.computed(), classes));
                        if has(1) {
                            loss.ignored = Some(ignored[kind]);
                            loss.target = Target::Labels(of_type(&some_ignored(&labels, ignored[kind])));
                        } else {
                            loss.target = Target::Labels(of_type(&labels));
                        }
                        loss.smoothing = if has(2) { 0.1 } else { 0.0 };
                        loss.z_loss = if has(3) { 1e-2 } else { 0.0 };
                        loss.reduction = reduction;
                        worst.join(loss.put(&format!("labels {kind}, choices {choices:04b}, {reduction:?}")));
                    }
                }
            }
        }
        told(&format!("{dtype}"), worst);
    }
}

#[test]
fn target_probabilities_in_all_combinations() {
    for dtype in [Dtype::F32, Dtype::F64, Dtype::Bf16] {
        let mut worst = WorstOfLoss::default();
        for layout in layouts() {
            let logits = Stored::row(dtype, Character::Normal, layout.elements(), 3);
            for stored in [dtype.computed(), Dtype::F16] {
                for choices in 0..8 {
                    for reduction in REDUCTIONS {
                        let mut loss = loss_of(logits.clone(), &layout, &[]);
                        let has = |choice: usize| choices >> choice & 1 == 1;
                        loss.target = Target::Probabilities(target_probabilities(stored, &layout));
                        loss.weights = has(0).then(|| class_weights(stored, layout.classes()));
                        loss.smoothing = if has(1) { 0.2 } else { 0.0 };
                        loss.z_loss = if has(2) { 1e-2 } else { 0.0 };
                        loss.reduction = reduction;
                        worst.join(loss.put("target probabilities"));
                    }
                }
            }
        }
        told(&format!("target probabilities in {dtype}"), worst);
    }
}

#[test]
fn every_character_and_length() {
    for dtype in [Dtype::F32, Dtype::F64] {
        let mut worst = WorstOfLoss::default();
        for classes in [1, 2, 3, 10, 33, 64, 100, 257, 1000, 4097] {
            for character in Character::ALL {
                // Logits of −∞ may be labels, which costs +∞: that is the contract's.
                let layout = Layout::new(&[3, classes], &[1]);
                let logits = Stored::row(dtype, character, 3 * classes, 8);
                let labels = random_labels(3, classes, classes as u64);
                let mut loss = loss_of(logits, &layout, &labels);
                loss.reduction = Reduction::None;
                worst.join(loss.put(&format!("{character:?}")));
                loss.smoothing = 0.3;
                loss.weights = Some(class_weights(dtype, classes));
                worst.join(loss.put(&format!("{character:?}, smoothed")));
            }
        }
        told(&format!("characters in {dtype}"), worst);
    }
}

#[test]
fn mixtures_of_types() {
    let layout = Layout::new(&[7, 37], &[1]);
    for logits in Dtype::ALL {
        for gradient in Dtype::ALL {
            let logits = Stored::row(logits, Character::Normal, layout.elements(), 5);
            let mut loss = loss_of(logits, &layout, &random_labels(7, 37, 6));
            loss.gradient = Some(gradient);
            loss.smoothing = 0.1;
            for weights in [Dtype::F16, Dtype::F32] {
                loss.weights = Some(class_weights(weights, 37));
                loss.put("a mixture");
            }
        }
    }
}

#[test]
fn only_what_is_wanted() {
    let layout = Layout::new(&[4, 5], &[1]);
    let mut loss =
        loss_of(Stored::row(Dtype::F32, Character::Normal, 20, 2), &layout, &random_labels(4, 5, 1));
    loss.extras = false;
    for gradient in [None, Some(Dtype::F32), Some(Dtype::F16)] {
        loss.gradient = gradient;
        for device in devices() {
            let answer = loss.ask(&device).unwrap();
            assert_eq!(answer.gradient.is_some(), gradient.is_some());
            assert!(answer.log_sum_exp.is_none() && answer.entropy.is_none());
            assert!(answer.argmax.is_none() && answer.label_log_probabilities.is_none());
        }
        loss.put("a loss alone");
        // z-loss needs the log-sum-exp, and does not hand it out.
        loss.z_loss = 0.1;
        loss.put("a loss with z-loss");
    }
}

#[test]
fn targets_without_probability() {
    let masked = f64::NEG_INFINITY;
    let rows = [0.0, 1.0, masked, 1.0, masked, 0.5, masked, masked, 2.0];
    let layout = Layout::new(&[3, 3], &[1]);
    for dtype in Dtype::ALL {
        for reduction in REDUCTIONS {
            for labels in [[0, 0, 2], [2, 1, 0], [2, 2, 2]] {
                let mut loss = loss_of(Stored::of(dtype, rows), &layout, &labels);
                loss.reduction = reduction;
                loss.put("labels of no probability");
                loss.smoothing = 0.1;
                loss.put("smoothing over no probability");
            }
            // 0·∞ counts as 0.
            let mut loss = loss_of(Stored::of(dtype, rows), &layout, &[]);
            let targets = [0.5, 0.5, 0.0, 0.25, 0.0, 0.75, 0.0, 0.0, 1.0];
            loss.target = Target::Probabilities(Stored::of(dtype, targets));
            loss.reduction = reduction;
            loss.put("targets of 0 without probability");
            for device in devices().iter().filter(|device| loss.serves(device)) {
                let answer = loss.ask(device).unwrap();
                assert!(answer.losses.widened().iter().all(|loss| loss.is_finite()));
            }
        }
    }
    for device in devices() {
        let loss = CrossEntropy::new(&[0.0f32, f32::NEG_INFINITY], &[1, 2], 1, &[1i64]).with_gradient();
        let answer = device.cross_entropy::<f32>(&loss).unwrap();
        assert_eq!((answer.losses, answer.gradient), (vec![f32::INFINITY], Some(vec![1.0, -1.0])));
    }
}

/// What ignored rows hold changes not one bit of anything else, and their own gradient is 0.
#[test]
fn ignored_rows_may_hold_anything() {
    for dtype in [Dtype::F32, Dtype::F64, Dtype::F16] {
        for layout in layouts() {
            let labels = some_ignored(&random_labels(layout.rows(), layout.classes(), 7), -1);
            let logits = Stored::row(dtype, Character::Normal, layout.elements(), 3);
            let places: Vec<usize> = layout.places().into_iter().skip(1).step_by(4).flatten().collect();
            for reduction in REDUCTIONS {
                let with = |value: f64| {
                    let logits = logits.replaced(places.iter().copied(), value);
                    let mut loss = loss_of(logits, &layout, &labels);
                    (loss.ignored, loss.reduction, loss.z_loss) = (Some(-1), reduction, 0.01);
                    loss.smoothing = 0.1;
                    // Entropy and the like are those of the row as it is.
                    loss.extras = false;
                    loss
                };
                for device in devices().iter().filter(|device| with(0.0).serves(device)) {
                    let zero = with(0.0).ask(device).unwrap();
                    for value in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY, 60_000.0] {
                        let other = with(value).ask(device).unwrap();
                        assert!(other.losses.same_bits(&zero.losses), "{value} in {dtype}");
                        let (other, zero) = (other.gradient.unwrap(), zero.gradient.as_ref().unwrap());
                        assert!(other.same_bits(zero), "gradient with {value} in {dtype}");
                        assert!(places.iter().all(|&place| other.get(place) == 0.0));
                    }
                }
                with(f64::NAN).put("ignored rows of NaN");
            }
        }
    }
}

#[test]
fn special_rows() {
    for dtype in [Dtype::F32, Dtype::F64] {
        for classes in [1, 2, 9, 64, 100] {
            let rows = Stored::special_rows(dtype, classes);
            let layout = Layout::new(&[rows.len(), classes], &[1]);
            let logits = Stored::concatenated(dtype, &rows);
            let mut loss = loss_of(logits, &layout, &random_labels(rows.len(), classes, 3));
            loss.reduction = Reduction::None;
            loss.put("special rows");
            loss.zero_where_masked().put("special rows, 0 where wholly masked");
        }
    }
}

#[test]
fn labels_out_of_range_name_their_row() {
    let logits = Stored::row(Dtype::F32, Character::Normal, 12, 1);
    for device in devices() {
        let error = |labels: LabelArray, ignored: Option<i64>, layout: &Layout| {
            let mut loss = loss_of(logits.clone(), layout, &[]);
            (loss.target, loss.ignored) = (Target::Labels(labels), ignored);
            loss.ask(&device).unwrap_err()
        };
        let layout = Layout::new(&[4, 3], &[1]);
        for (labels, row, label) in [
            (LabelArray::I64(vec![0, 1, 3, 7]), 2, 3),
            (LabelArray::I64(vec![0, -1, 2, 7]), 1, -1),
            (LabelArray::I64(vec![0, 1, 2, i64::MAX]), 3, i64::MAX),
            (LabelArray::I64(vec![i64::MIN, 1, 2, 0]), 0, i64::MIN),
            (LabelArray::I64(vec![0, 1 << 32, 2, 0]), 1, 1 << 32),
            (LabelArray::I32(vec![0, 1, 2, -100]), 3, -100),
            (LabelArray::U32(vec![0, 1, 2, u32::MAX]), 3, u32::MAX.into()),
            (LabelArray::U8(vec![0, 1, 2, 3]), 3, 3),
        ] {
            let found = error(labels, None, &layout);
            assert_eq!(found, Error::LabelOutOfRange { row, label, classes: 3 }, "on {}", device.name());
            assert!(found.to_string().contains(&format!("row {row}")), "{found}");
        }
        // Another label than the ignored one is none the better for it.
        let found = error(LabelArray::I64(vec![0, -100, -1, 0]), Some(-100), &layout);
        assert_eq!(found, Error::LabelOutOfRange { row: 2, label: -1, classes: 3 });
        // Rows are counted over what is before and behind the classes.
        let found = error(LabelArray::I64(vec![0, 1, 0, 1, 9, 0]), None, &Layout::new(&[2, 2, 3], &[1]));
        assert_eq!(found, Error::LabelOutOfRange { row: 4, label: 9, classes: 2 });
    }
}

#[test]
fn nothing_to_average() {
    for device in devices() {
        for reduction in REDUCTIONS {
            let layout = Layout::new(&[3, 4], &[1]);
            let mut loss = loss_of(Stored::row(Dtype::F32, Character::Normal, 12, 1), &layout, &[7, 7, 7]);
            (loss.ignored, loss.reduction, loss.z_loss) = (Some(7), reduction, 0.1);
            let answer = loss.ask(&device).unwrap();
            assert_eq!(answer.counted, 0);
            assert!(answer.gradient.unwrap().widened().iter().all(|&x| x == 0.0), "{reduction:?}");
            match reduction {
                Reduction::None => assert_eq!(answer.losses.widened(), [0.0; 3]),
                Reduction::Sum => assert_eq!(answer.losses.widened(), [0.0]),
                Reduction::Mean => assert!(answer.losses.is_the_nan(0)),
            }
            // No rows at all.
            let mut loss = loss_of(Stored::of(Dtype::F32, []), &Layout::new(&[0, 4], &[1]), &[]);
            loss.reduction = reduction;
            let answer = loss.ask(&device).unwrap();
            assert_eq!((answer.counted, answer.gradient.unwrap().len()), (0, 0));
            match reduction {
                Reduction::None => assert_eq!(answer.losses.len(), 0),
                Reduction::Sum => assert_eq!(answer.losses.widened(), [0.0]),
                Reduction::Mean => assert!(answer.losses.is_the_nan(0)),
            }
        }
        // Rows that weigh nothing: counted, and 0 / 0.
        let layout = Layout::new(&[2, 2], &[1]);
        let mut loss = loss_of(Stored::of(Dtype::F32, [0.0, 1.0, 2.0, 0.5]), &layout, &[1, 1]);
        loss.weights = Some(Stored::of(Dtype::F32, [1.0, 0.0]));
        let answer = loss.ask(&device).unwrap();
        assert!(answer.losses.is_the_nan(0) && answer.counted == 2, "{:#x}", answer.losses.bits(0));
        let gradient = answer.gradient.unwrap();
        assert!((0..4).all(|place| gradient.is_the_nan(place)), "{gradient:?}");
    }
}

/// The reduced loss's gradient is the slope of the reduced loss.
#[test]
fn finite_differences_agree() {
    let step = 1e-5;
    let layout = Layout::new(&[3, 5, 2], &[1]);
    let labels = some_ignored(&random_labels(6, 5, 2), -1);
    let logits: Vec<f64> = Character::Normal.row(30, 6);
    for device in devices().iter().filter(|device| device.computes_f64()) {
        for target in [
            Target::Labels(LabelArray::I64(labels.clone())),
            Target::Probabilities(target_probabilities(Dtype::F64, &layout)),
        ] {
            for reduction in [Reduction::Sum, Reduction::Mean] {
                for is_adjusted in [false, true] {
                    let mut loss = loss_of(logits.clone().into(), &layout, &[]);
                    if matches!(target, Target::Labels(_)) {
                        loss.ignored = Some(-1);
                    }
                    loss.target = target.clone();
                    loss.weights = Some(class_weights(Dtype::F64, 5));
                    (loss.smoothing, loss.z_loss, loss.reduction) = (0.15, 0.02, reduction);
                    if is_adjusted {
                        loss.adjusted = Adjusted {
                            temperature: Some(Temperatures::Same(0.7)),
                            additive_mask: Some((
                                Stored::row(Dtype::F64, Character::Normal, 5, 9),
                                vec![5, 1],
                            )),
                            ..Adjusted::default()
                        };
                    }
                    let gradient = loss.ask(device).unwrap().gradient.unwrap();
                    let moved = |place: usize, distance: f64| {
                        let mut moved = logits.clone();
                        moved[place] += distance;
                        Loss { logits: moved.into(), ..loss.clone() }.ask(device).unwrap().losses.get(0)
                    };
                    for place in 0..30 {
                        let slope = (moved(place, step) - moved(place, -step)) / (2.0 * step);
                        let got = gradient.get(place);
                        assert!((got - slope).abs() < 1e-7, "{place}: {got} for {slope}, {reduction:?}");
                    }
                }
            }
        }
    }
}

#[test]
fn with_a_temperature_and_masks() {
    let mut worst = WorstOfLoss::default();
    let attention = [(4, 5), (6, 33), (3, 130)];
    for (dtype, attention) in
        [(Dtype::F32, &attention[..]), (Dtype::F64, &attention), (Dtype::F16, &attention[1..2])]
    {
        for &(queries, keys) in attention {
            let layout = Layout::new(&[2, queries, keys], &[2]);
            let rows = layout.rows();
            let random = &mut Random::new(keys as u64);
            let temperatures = Stored::of(dtype, (0..rows).map(|_| random.between(0.5, 2.0)));
            let adjusted = Adjusted {
                temperature: Some(Temperatures::PerRow(temperatures)),
                mask: Some(((0..2 * keys).map(|_| random.below(5) > 0).collect(), vec![2, 1, keys])),
                causal: Some((keys as i64 / 2, None)),
                lengths: Some((0..rows).map(|_| random.below(keys + 1) as u64).collect()),
                ..Adjusted::default()
            };
            let logits = Stored::row(dtype, Character::Normal, layout.elements(), 5);
            for (smoothing, z_loss) in [(0.0, 0.0), (0.1, 0.0), (0.0, 0.01), (0.1, 0.01)] {
                for choice in [FullyMasked::Nan, FullyMasked::Zero] {
                    // Labels on masked classes, too: they cost +∞.
                    let mut loss = loss_of(logits.clone(), &layout, &random_labels(rows, keys, 5));
                    (loss.smoothing, loss.z_loss, loss.reduction) = (smoothing, z_loss, Reduction::None);
                    loss.adjusted = adjusted.clone();
                    loss.options = loss.options.fully_masked(choice);
                    if z_loss != 0.0 {
                        // The log-sum-exp of a row without classes is −∞, and its square is the loss's.
                        loss.adjusted.lengths = None;
                    }
                    worst.join(loss.put("a loss under masks"));
                }
            }
        }
    }
    told("under masks", worst);
}

/// Target probabilities over what a mask leaves, and none where it leaves nothing.
#[test]
fn target_probabilities_under_masks() {
    for dtype in [Dtype::F32, Dtype::F64, Dtype::F16] {
        let layout = Layout::new(&[3, 7, 4], &[1]);
        let random = &mut Random::new(17);
        let mask: Vec<bool> = (0..28).map(|place| place % 4 == 0 || random.below(4) > 0).collect();
        let adjusted = Adjusted {
            temperature: Some(Temperatures::Same(0.8)),
            mask: Some((mask, vec![7, 4])),
            ..Adjusted::default()
        };
        let mut masked = Vec::new();
        for (row, places) in layout.places().iter().enumerate() {
            let is_masked =
                |(class, place): &(usize, &usize)| !adjusted.takes_part(&layout.index(**place), row, *class);
            masked.extend(places.iter().enumerate().filter(is_masked).map(|(_, &place)| place));
        }
        assert!(masked.len() > 5);
        let logits = Stored::row(dtype, Character::Normal, layout.elements(), 5);
        let mut loss = loss_of(logits.replaced(masked.iter().copied(), f64::NAN), &layout, &[]);
        let targets = target_probabilities(dtype, &layout).replaced(masked, 0.0);
        (loss.target, loss.adjusted) = (Target::Probabilities(targets), adjusted);
        for reduction in REDUCTIONS {
            for (smoothing, z_loss) in [(0.0, 0.0), (0.1, 0.01)] {
                (loss.reduction, loss.smoothing, loss.z_loss) = (reduction, smoothing, z_loss);
                loss.put("target probabilities under a mask");
            }
        }
    }
}

/// Where nothing takes part and that is no probability rather than NaN, only a target costs anything.
#[test]
fn a_wholly_masked_row_without_a_target_costs_nothing() {
    let logits = [0.5f32, 1.0, f32::NAN, 0.0, 1.0, 2.0];
    let (shape, mask) = ([2, 3], [false, true]);
    let (labels, shares) = ([2i64, 0], [0.25f32, 0.5, 0.25, 1.0, 0.0, 0.0]);
    let by_labels = || CrossEntropy::new(&logits, &shape, 1, &labels);
    let by_shares = || CrossEntropy::new(&logits, &shape, 1, Elements::from(&shares));
    for device in devices() {
        for (loss, expected) in [
            (by_labels(), f32::INFINITY),
            (by_labels().label_smoothing(0.5), f32::INFINITY),
            // No label keeps a share of a target that is spread evenly, and none has one whose weight is 0.
            (by_labels().label_smoothing(1.0), 0.0),
            (by_labels().class_weights(&[1.0f32, 1.0, 0.0]), 0.0),
            (by_shares(), 0.0),
            (by_shares().label_smoothing(0.5), 0.0),
        ] {
            let adjustment = Adjustment::default().mask(&mask, &[2, 1]);
            let loss = loss.adjustment(adjustment).reduction(Reduction::None).with_gradient();
            for (choice, expected) in [(FullyMasked::Zero, expected), (FullyMasked::Nan, f32::NAN)] {
                let loss = loss.clone().options(Options::default().fully_masked(choice));
                let answer = device.cross_entropy::<f32>(&loss).unwrap();
                let is_expected =
                    answer.losses[0] == expected || answer.losses[0].is_nan() && expected.is_nan();
                assert!(is_expected, "{} on {}", answer.losses[0], device.name());
                assert!(answer.losses[1] > 0.0);
                let nothing = |value: &f32| if expected.is_nan() { value.is_nan() } else { *value == 0.0 };
                assert!(answer.gradient.unwrap()[..3].iter().all(nothing));
            }
        }
    }
}

/// In a row without classes nothing takes part.
#[test]
fn rows_without_classes() {
    let logits: [f32; 0] = [];
    for device in devices() {
        for (choice, expected) in [(FullyMasked::Zero, 0.0), (FullyMasked::Nan, f32::NAN)] {
            let options = Options::default().fully_masked(choice);
            let asked = |loss: CrossEntropy<'_>| {
                let loss = loss.options(options).reduction(Reduction::None).with_gradient().with_entropy();
                device.cross_entropy::<f32>(&loss.with_log_sum_exp().with_argmax()).unwrap()
            };
            let is_expected = |value: &f32| *value == expected || value.is_nan() && expected.is_nan();
            let answer = asked(CrossEntropy::new(&logits, &[2, 0], 1, Elements::from(&logits)));
            assert!(answer.losses.len() == 2 && answer.losses.iter().all(is_expected));
            assert!(answer.entropy.unwrap().iter().all(is_expected));
            assert_eq!(answer.log_sum_exp.unwrap(), [f32::NEG_INFINITY; 2]);
            assert_eq!((answer.gradient.unwrap().len(), answer.argmax.unwrap()), (0, vec![0, 0]));
            let ignored = asked(CrossEntropy::new(&logits, &[2, 0], 1, &[-1i64, -1]).ignore_index(-1));
            assert_eq!((ignored.losses, ignored.counted), (vec![0.0; 2], 0));
        }
    }
}

/// What is masked changes not one bit of a loss.
#[test]
fn what_is_masked_changes_not_one_bit() {
    let layout = Layout::new(&[6, 9], &[1]);
    let lengths: Vec<u64> = vec![9, 5, 1, 3, 8, 2];
    let mut masked = Vec::new();
    for (row, places) in layout.places().iter().enumerate() {
        masked.extend(&places[lengths[row] as usize..]);
    }
    for dtype in [Dtype::F32, Dtype::F64, Dtype::F16] {
        let logits = Stored::row(dtype, Character::Normal, 54, 3);
        let with = |value: f64| {
            let mut loss =
                loss_of(logits.replaced(masked.iter().copied(), value), &layout, &[8, 4, 0, 1, 2, 1]);
            loss.adjusted = Adjusted { lengths: Some(lengths.clone()), ..Adjusted::default() };
            (loss.smoothing, loss.z_loss, loss.reduction) = (0.1, 0.01, Reduction::None);
            loss
        };
        with(f64::NAN).put("NaN under a mask");
        for device in devices().iter().filter(|device| with(0.0).serves(device)) {
            let zero = with(0.0).ask(device).unwrap();
            for value in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY, 1e4] {
                let other = with(value).ask(device).unwrap();
                assert!(other.losses.same_bits(&zero.losses) && other.argmax == zero.argmax);
                for (other, zero) in [
                    (&other.gradient, &zero.gradient),
                    (&other.entropy, &zero.entropy),
                    (&other.log_sum_exp, &zero.log_sum_exp),
                    (&other.label_log_probabilities, &zero.label_log_probabilities),
                ] {
                    assert!(other.as_ref().unwrap().same_bits(zero.as_ref().unwrap()), "{value} in {dtype}");
                }
            }
        }
    }
}

#[test]
fn long_rows_and_many_rows() {
    for (rows, classes) in [(5, 50_257), (2, 128_256), (70_000, 3)] {
        let layout = Layout::new(&[rows, classes], &[1]);
        let logits = Stored::row(Dtype::F32, Character::Normal, rows * classes, 4);
        for smoothing in [0.0, 0.1] {
            let mut loss = loss_of(logits.clone(), &layout, &random_labels(rows, classes, 9));
            loss.smoothing = smoothing;
            told(&format!("{rows} × {classes}"), loss.put("long rows, many rows"));
        }
    }
    let layout = Layout::new(&[2, 9001, 3], &[1]);
    let logits = Stored::row(Dtype::F32, Character::Normal, layout.elements(), 4);
    loss_of(logits, &layout, &random_labels(6, 9001, 9)).put("long columns");
}

#[test]
fn losses_that_do_not_fit() {
    let logits = [0.0f32; 6];
    let shape = [2, 3];
    let loss = || CrossEntropy::new(&logits, &shape, 1, &[0i64, 1]);
    for device in devices() {
        let refused = |loss: CrossEntropy<'_>| device.cross_entropy::<f32>(&loss).unwrap_err();
        for epsilon in [-0.1, 1.1, f64::NAN] {
            assert!(matches!(refused(loss().label_smoothing(epsilon)), Error::LossParameter { .. }));
        }
        assert!(matches!(refused(loss().z_loss(f64::INFINITY)), Error::LossParameter { .. }));
        assert!(matches!(refused(loss().class_weights(&[1.0f32; 2])), Error::LengthMismatch { .. }));
        let short = CrossEntropy::new(&logits, &shape, 1, &[0i64]);
        assert!(matches!(refused(short), Error::LengthMismatch { .. }));
        let short = CrossEntropy::new(&logits, &shape, 1, Elements::from(&[0.5f32; 5]));
        assert!(matches!(refused(short), Error::LengthMismatch { .. }));
        let targets = || CrossEntropy::new(&logits, &shape, 1, Elements::from(&[0.5f32; 6]));
        assert!(matches!(refused(targets().ignore_index(0)), Error::OperandUnused { .. }));
        let error = refused(targets().with_label_log_probabilities());
        assert!(matches!(error, Error::OperandUnused { op: Op::CrossEntropy, .. }), "{error}");
        let given = Options::default().given(Given::Probabilities);
        assert!(matches!(refused(targets().options(given)), Error::OperandUnused { .. }));
    }
}

/// More rows without classes than memory has room for.
#[test]
fn rows_beyond_all_memory() {
    let shape = [1 << 60, 0];
    let loss = CrossEntropy::new(&[0f32; 0], &shape, 1, Elements::from(&[0f32; 0]));
    for device in devices() {
        let outcome = device.cross_entropy::<f32>(&loss);
        assert!(matches!(outcome, Err(Error::OutOfMemory { .. })), "{}", device.name());
    }
}

/// Bits, so that a NaN is like itself.
fn bits<T: Element>(values: &[T]) -> Vec<u8> {
    bytemuck::cast_slice(values).to_vec()
}

/// Memory of the caller's for everything that may be wanted, which held other things before.
struct Room<R: Element> {
    losses: Vec<R::Computed>,
    gradient: Vec<R>,
    label_log_probabilities: Vec<R::Computed>,
    log_sum_exp: Vec<R::Computed>,
    entropy: Vec<R::Computed>,
    argmax: Vec<u64>,
}

impl<R: Element> Room<R> {
    fn like(losses: &Losses<R>, untouched: R) -> Self {
        let computed = untouched.computed();
        let of_rows = |values: &Option<Vec<R::Computed>>| vec![computed; values.as_ref().map_or(0, Vec::len)];
        Room {
            losses: vec![computed; losses.losses.len()],
            gradient: vec![untouched; losses.gradient.as_ref().map_or(0, Vec::len)],
            label_log_probabilities: of_rows(&losses.label_log_probabilities),
            log_sum_exp: of_rows(&losses.log_sum_exp),
            entropy: of_rows(&losses.entropy),
            argmax: vec![77; losses.argmax.as_ref().map_or(0, Vec::len)],
        }
    }

    fn memory(&mut self) -> LossMemory<'_, R> {
        LossMemory::new(&mut self.losses)
            .gradient(&mut self.gradient)
            .label_log_probabilities(&mut self.label_log_probabilities)
            .log_sum_exp(&mut self.log_sum_exp)
            .entropy(&mut self.entropy)
            .argmax(&mut self.argmax)
    }

    /// All of it, one after the other.
    fn bits(&self) -> Vec<Vec<u8>> {
        let Room { losses, gradient, label_log_probabilities, log_sum_exp, entropy, argmax } = self;
        let of_rows = [losses, label_log_probabilities, log_sum_exp, entropy];
        let others = [bits(gradient), bytemuck::cast_slice(argmax).to_vec()];
        of_rows.into_iter().map(|values| bits(values)).chain(others).collect()
    }
}

fn bits_of<R: Element>(losses: &Losses<R>) -> Vec<Vec<u8>> {
    let of_rows = |values: &Option<Vec<R::Computed>>| bits(values.as_deref().unwrap_or_default());
    vec![
        bits(&losses.losses),
        of_rows(&losses.label_log_probabilities),
        of_rows(&losses.log_sum_exp),
        of_rows(&losses.entropy),
        bits(losses.gradient.as_deref().unwrap_or_default()),
        bytemuck::cast_slice(losses.argmax.as_deref().unwrap_or_default()).to_vec(),
    ]
}

/// Into the caller's memory go the bits that are returned otherwise, whatever it held.
fn written_as_returned<R: Element>(untouched: R) {
    let layouts = [
        Layout::new(&[9, 5], &[1]),
        Layout::new(&[700, 130], &[1]),
        Layout::new(&[2, 6, 3, 2], &[1]),
        Layout::new(&[2, 3, 4], &[0, 2]),
        Layout::new(&[1, 9001], &[1]),
    ];
    for layout in layouts {
        let labels = some_ignored(&random_labels(layout.rows(), layout.classes(), 5), -1);
        for (choices, reduction) in (0..8).flat_map(|choices| REDUCTIONS.map(|how| (choices, how))) {
            let has = |choice: usize| choices >> choice & 1 == 1;
            let logits = Stored::row(R::DTYPE, Character::Normal, layout.elements(), 3);
            let mut loss = loss_of(logits, &layout, &labels);
            loss.ignored = Some(-1);
            loss.gradient = has(0).then_some(R::DTYPE);
            loss.extras = has(1);
            loss.z_loss = if has(2) { 1e-2 } else { 0.0 };
            loss.reduction = reduction;
            for device in devices().iter().filter(|device| loss.serves(device)) {
                let asked = loss.cross_entropy();
                let returned = device.cross_entropy::<R>(&asked).unwrap();
                let mut room = Room::like(&returned, untouched);
                for _ in 0..2 {
                    let totals = device.cross_entropy_into(&asked, room.memory()).unwrap();
                    let what = format!("choices {choices:03b}, {reduction:?} on {}", device.name());
                    assert!(room.bits() == bits_of(&returned), "{what}");
                    assert_eq!(totals.counted, returned.counted, "{what}");
                    assert_eq!(totals.sums.to_bits(), returned.sums.to_bits(), "{what}");
                }
            }
        }
    }
}

#[test]
fn memory_of_the_callers_gets_the_same_bits() {
    written_as_returned::<f32>(-7.0);
    written_as_returned::<f64>(-7.0);
    written_as_returned::<bf16>(bf16::from_f32(-7.0));
    written_as_returned::<f16>(f16::from_f32(-7.0));
}

/// A slice too short, too long, missing, or of what is not wanted: nothing is written then, not even elsewhere.
#[test]
fn memory_that_does_not_fit_is_left_alone() {
    let (logits, shape, labels) = ([0.5f32; 6], [2, 3], [0i64, 1]);
    let loss = |wanted: bool, reduction| {
        let loss = CrossEntropy::new(&logits, &shape, 1, &labels).reduction(reduction);
        if !wanted {
            return loss;
        }
        loss.with_gradient().with_label_log_probabilities().with_log_sum_exp().with_entropy().with_argmax()
    };
    for device in devices() {
        for (wanted, reduction) in [true, false].into_iter().flat_map(|all| REDUCTIONS.map(|how| (all, how)))
        {
            let loss = loss(wanted, reduction);
            let right = device.cross_entropy::<f32>(&loss).unwrap();
            let change = |which: usize, by: isize| {
                let mut room = Room::like(&right, 9.0f32);
                let resized = |length: usize| length.checked_add_signed(by);
                let values = [
                    &mut room.losses,
                    &mut room.gradient,
                    &mut room.label_log_probabilities,
                    &mut room.log_sum_exp,
                    &mut room.entropy,
                ];
                match values.into_iter().nth(which) {
                    Some(values) => values.resize(resized(values.len())?, 9.0),
                    None => room.argmax.resize(resized(room.argmax.len())?, 77),
                }
                Some(room)
            };
            for (which, by) in (0..6).flat_map(|which| [-6, -2, -1, 1].map(|by| (which, by))) {
                let Some(mut room) = change(which, by) else { continue };
                let before = room.bits();
                let error = device.cross_entropy_into(&loss, room.memory()).unwrap_err();
                assert!(matches!(error, Error::LengthMismatch { .. }), "{error}");
                assert!(room.bits() == before, "slice {which}, {by:+}, on {}", device.name());
            }
        }
        let wrong = CrossEntropy::new(&logits, &shape, 1, &[0i64, 3]);
        let mut losses = [9.0f32];
        let error = device.cross_entropy_into::<f32>(&wrong, LossMemory::new(&mut losses)).unwrap_err();
        assert!(matches!(error, Error::LabelOutOfRange { .. }) && losses == [9.0], "{error}");
    }
}

/// Where the GPU takes a call in several windows, whose last ones overlap, or starts it again.
#[test]
fn losses_of_windows_are_added_up_once() {
    let Some(gpu) = common::device::gpu() else { return };
    let narrow = gpu.planning_with(gpu.capabilities().clone());
    narrow.stream_within(1 << 14);
    for shape in [[700, 9, 1], [3, 70, 41], [2, 5, 1000]] {
        let layout = Layout::new(&shape, &[1]);
        let labels = some_ignored(&random_labels(layout.rows(), layout.classes(), 5), -1);
        let logits = Stored::row(Dtype::F32, Character::Normal, layout.elements(), 3);
        for reduction in REDUCTIONS {
            let mut loss = loss_of(logits.clone(), &layout, &labels);
            (loss.ignored, loss.z_loss, loss.reduction) = (Some(-1), 1e-2, reduction);
            let loss = loss.cross_entropy();
            let at_once = gpu.cross_entropy_blocking::<f32>(&loss).unwrap();
            let in_windows = narrow.cross_entropy_blocking::<f32>(&loss).unwrap();
            assert!(bits_of(&in_windows) == bits_of(&at_once), "{shape:?}, {reduction:?}");
            assert_eq!(in_windows.sums, at_once.sums, "{shape:?}, {reduction:?}");
        }
    }
}
