//! The loss in all its combinations, its gradient, and what is said of it.

use crate::{Folder, devices, npy, on, reference, run};

/// What a loss is made of, classes on the middle axis of (rows, classes, columns).
struct Loss {
    shape: [usize; 3],
    logits: Vec<f64>,
    labels: Vec<i64>,
    /// One for each logit, in place of labels.
    target_probabilities: Option<Vec<f64>>,
    weights: Option<Vec<f64>>,
    ignore_index: Option<i64>,
    smoothing: f64,
    z_loss: f64,
}

/// Losses of all rows, the reduced loss with the gradient of it, and the number of rows counted.
struct Expected {
    losses: Vec<f64>,
    loss: f64,
    gradient: Vec<f64>,
    log_probabilities: Vec<f64>,
    counted: u64,
}

impl Loss {
    fn new(shape: [usize; 3]) -> Loss {
        let [rows, classes, columns] = shape;
        Loss {
            shape,
            logits: reference::logits(rows * classes * columns),
            labels: (0..rows * columns).map(|row| (row * 7 % classes) as i64).collect(),
            target_probabilities: None,
            weights: None,
            ignore_index: None,
            smoothing: 0.0,
            z_loss: 0.0,
        }
    }

    /// By the definition, row by row.
    fn expected(&self, reduction: &str) -> Expected {
        let [rows, classes, columns] = self.shape;
        let weight = |class: usize| self.weights.as_ref().map_or(1.0, |weights| weights[class]);
        let (mut losses, mut z_losses) = (vec![0.0; rows * columns], vec![0.0; rows * columns]);
        let (mut sum_of_weights, mut counted) = (0.0, 0);
        let mut parts = Vec::new();
        let mut log_probabilities = vec![0.0; self.logits.len()];
        for row in 0..rows * columns {
            let place = |class: usize| (row / columns * classes + class) * columns + row % columns;
            let logits: Vec<f64> = (0..classes).map(|class| self.logits[place(class)]).collect();
            let log_sum_exp = reference::log_sum_exp(&logits, &vec![true; classes]);
            (0..classes).for_each(|class| log_probabilities[place(class)] = logits[class] - log_sum_exp);
            let label = self.labels[row];
            if self.target_probabilities.is_none() && Some(label) == self.ignore_index {
                continue;
            }
            counted += 1;
            let target = |class: usize| match &self.target_probabilities {
                Some(targets) => targets[place(class)],
                None => f64::from(u8::from(class as i64 == label)),
            };
            let q: Vec<f64> = (0..classes)
                .map(|class| {
                    weight(class) * ((1.0 - self.smoothing) * target(class) + self.smoothing / classes as f64)
                })
                .collect();
            sum_of_weights += if self.target_probabilities.is_some() { 1.0 } else { weight(label as usize) };
            losses[row] = (0..classes).map(|class| q[class] * (log_sum_exp - logits[class])).sum();
            z_losses[row] = self.z_loss * log_sum_exp * log_sum_exp;
            parts.push((row, q, log_sum_exp));
        }
        let [scale, z_scale] = match reduction {
            "mean" => [1.0 / sum_of_weights, 1.0 / counted as f64],
            _ => [1.0, 1.0],
        };
        let mut gradient = vec![0.0; self.logits.len()];
        for (row, q, log_sum_exp) in parts {
            let place = |class: usize| (row / columns * classes + class) * columns + row % columns;
            let all: f64 = q.iter().sum();
            for class in 0..classes {
                let p = (self.logits[place(class)] - log_sum_exp).exp();
                gradient[place(class)] =
                    scale * (p * all - q[class]) + z_scale * 2.0 * self.z_loss * log_sum_exp * p;
            }
        }
        Expected {
            loss: losses.iter().sum::<f64>() * scale + z_losses.iter().sum::<f64>() * z_scale,
            losses: losses.iter().zip(&z_losses).map(|(loss, z)| loss + z).collect(),
            gradient,
            log_probabilities,
            counted,
        }
    }

    /// The program's answer with every reduction, against the definition. `shape` may leave out axes of length 1.
    #[track_caller]
    fn check(&self, shape: &[usize], axis: &str) {
        let folder = Folder::new();
        let input = folder.file("x.npy", &npy::f64_file(shape, &self.logits));
        let mut arguments: Vec<String> =
            ["run", &input, "--op", "cross-entropy", "--axis", axis].map(Into::into).into();
        let mut give = |words: &[&str]| arguments.extend(words.iter().map(|word| word.to_string()));
        let class_axis = axis.parse::<isize>().unwrap().rem_euclid(shape.len() as isize) as usize;
        let kept: Vec<usize> =
            (0..shape.len()).filter(|&axis| axis != class_axis).map(|axis| shape[axis]).collect();
        match &self.target_probabilities {
            Some(targets) => give(&["--target-probs", &folder.file("t.npy", &npy::f64_file(shape, targets))]),
            None => give(&["--labels", &folder.file("y.npy", &npy::i64_file(&kept, &self.labels))]),
        }
        if let Some(weights) = &self.weights {
            give(&["--weights", &folder.file("w.npy", &npy::f64_file(&[weights.len()], weights))]);
        }
        if let Some(label) = self.ignore_index {
            give(&["--ignore-index", &label.to_string()]);
        }
        give(&["--label-smoothing", &self.smoothing.to_string(), "--z-loss", &self.z_loss.to_string()]);
        let [output, gradient, logarithms] = ["l.npy", "g.npy", "p.npy"].map(|name| folder.name(name));
        give(&["-o", &output, "--grad", &gradient, "--log-probs", &logarithms, "--json"]);
        let reductions = ["none", "mean", "sum"].map(|reduction| ("cpu", reduction));
        for (device, reduction) in reductions.into_iter().chain([("gpu", "mean")]) {
            if !devices().contains(&device) {
                continue;
            }
            let mut words: Vec<&str> = arguments.iter().map(String::as_str).collect();
            words.extend(on(device));
            if reduction != "mean" {
                words.extend(["--reduction", reduction]);
            }
            let facts = run(&words).succeeded().json();
            let expected = self.expected(reduction);
            assert_eq!(facts["device"]["kind"], device);
            assert_eq!(facts["reduction"], reduction);
            assert_eq!(facts["counted"], expected.counted);
            let [loss, gradient, logarithms] =
                [&output, &gradient, &logarithms].map(|name| npy::parse(&std::fs::read(name).unwrap()));
            let descr = if device == "gpu" { "<f4" } else { "<f8" };
            assert_eq!(loss.descr, descr);
            if reduction == "none" {
                assert_eq!(loss.shape, kept);
                assert!(facts["loss"].is_null());
                reference::assert_close(&loss.values, &expected.losses, descr);
            } else {
                assert!(loss.shape.is_empty());
                reference::assert_close(&loss.values, &[expected.loss], descr);
                // serde_json does not read numbers to the last digit.
                let tolerance = if device == "gpu" { 1e-6 } else { 1e-13 };
                reference::assert_within(&[facts["loss"].as_f64().unwrap()], &loss.values, tolerance);
            }
            assert_eq!((&gradient.shape[..], &logarithms.shape[..]), (shape, shape));
            let tolerance = if device == "gpu" { 1e-5 } else { 1e-12 };
            reference::assert_within(&gradient.values, &expected.gradient, tolerance);
            reference::assert_close(&logarithms.values, &expected.log_probabilities, descr);
        }
    }
}

#[test]
fn weights_ignored_labels_smoothing_and_z_loss_meet() {
    for weighted in [false, true] {
        for ignore_index in [None, Some(2), Some(-100)] {
            for (smoothing, z_loss) in [(0.0, 0.0), (0.1, 0.0), (0.0, 0.01), (0.25, -0.3), (1.0, 0.0)] {
                let mut loss = Loss::new([9, 5, 1]);
                loss.weights = weighted.then(|| vec![0.5, 2.0, 0.25, 0.0, 1.5]);
                loss.ignore_index = ignore_index;
                if ignore_index == Some(-100) {
                    loss.labels[3] = -100;
                }
                (loss.smoothing, loss.z_loss) = (smoothing, z_loss);
                loss.check(&[9, 5], "-1");
            }
        }
    }
}

#[test]
fn classes_on_any_axis() {
    let mut loss = Loss::new([3, 4, 10]);
    loss.weights = Some(vec![1.0, 3.0, 0.5, 0.125]);
    loss.ignore_index = Some(1);
    loss.smoothing = 0.1;
    loss.check(&[3, 4, 10], "1");
    loss.check(&[3, 4, 2, 5], "-3");
    let mut first = Loss::new([1, 4, 6]);
    first.z_loss = 1e-3;
    first.check(&[4, 6], "0");
    first.check(&[4, 3, 2], "0");
}

#[test]
fn target_probabilities() {
    for (smoothing, z_loss, weighted) in [(0.0, 0.0, false), (0.1, 0.02, true)] {
        let mut loss = Loss::new([3, 4, 2]);
        let raw: Vec<f64> = (0..24).map(|place| (place * 5 % 7) as f64).collect();
        loss.target_probabilities = Some(raw.iter().map(|value| value / 12.0).collect());
        (loss.smoothing, loss.z_loss) = (smoothing, z_loss);
        loss.weights = weighted.then(|| vec![1.0, 0.5, 2.0, 0.0]);
        loss.check(&[3, 4, 2], "1");
    }
}

#[test]
fn labels_of_every_integer_type() {
    let folder = Folder::new();
    let input = folder.file("x.npy", &npy::f64_file(&[2, 3], &[0.0, 1.0, 2.0, 3.0, 3.0, 3.0]));
    for (descr, data) in [
        ("|i1", vec![2, 0]),
        ("|u1", vec![2, 0]),
        ("<i2", vec![2, 0, 0, 0]),
        (">u2", vec![0, 2, 0, 0]),
        ("<i4", vec![2, 0, 0, 0, 0, 0, 0, 0]),
        (">u4", vec![0, 0, 0, 2, 0, 0, 0, 0]),
        (">i8", vec![0, 0, 0, 0, 0, 0, 0, 2, 0, 0, 0, 0, 0, 0, 0, 0]),
        ("<u8", vec![2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]),
    ] {
        let labels = folder.file("y.npy", &npy::file(descr, false, &[2], &data));
        let facts =
            run(&["run", &input, "--op", "cross-entropy", "--labels", &labels, "--json"]).succeeded().json();
        let expected = ((1.0 + (-1f64).exp() + (-2f64).exp()).ln() + 3f64.ln()) / 2.0;
        assert!((facts["loss"].as_f64().unwrap() - expected).abs() < 1e-15, "{descr}");
    }
    let floats = folder.file("y.npy", &npy::f64_file(&[2], &[2.0, 0.0]));
    let error = run(&["run", &input, "--op", "cross-entropy", "--labels", &floats]).failed(3);
    assert!(error.contains("integers are needed"), "{error}");
    let truths = folder.file("y.npy", &npy::bool_file(&[2], &[true, false]));
    run(&["run", &input, "--op", "cross-entropy", "--labels", &truths]).failed(3);
}

#[test]
fn labels_that_name_no_class() {
    let folder = Folder::new();
    let input = folder.file("x.npy", &npy::f64_file(&[2, 3, 2], &[0.0; 12]));
    for (label, row) in [(3i64, 2), (-1, 0), (i64::MAX, 3), (i64::MIN, 1)] {
        let mut labels = [0i64; 4];
        labels[row] = label;
        let file = folder.file("y.npy", &npy::i64_file(&[2, 2], &labels));
        let [output, gradient] = ["l.npy", "g.npy"].map(|name| folder.name(name));
        let arguments = ["run", &input, "--op", "cross-entropy", "--axis", "1", "--labels", &file];
        let error = run(&[&arguments[..], &["-o", &output, "--grad", &gradient]].concat()).failed(3);
        let expected = format!("label of row [{}, {}] is {label}, and there are 3 classes", row / 2, row % 2);
        assert!(error.contains(&expected), "{error}");
        assert_eq!(folder.names(), ["x.npy", "y.npy"]);
        run(&[&arguments[..], &["--ignore-index", &label.to_string()]].concat()).succeeded();
    }
    let huge = folder.file("y.npy", &npy::file("<u8", false, &[2, 2], &[0xff; 32]));
    let error = run(&["run", &input, "--op", "cross-entropy", "--axis", "1", "--labels", &huge]).failed(3);
    assert!(error.contains("18446744073709551615"), "{error}");
}

#[test]
fn shapes_that_do_not_fit() {
    let folder = Folder::new();
    let input = folder.file("x.npy", &npy::f64_file(&[2, 3], &[0.0; 6]));
    let labels = folder.file("y.npy", &npy::i64_file(&[2], &[0; 2]));
    let three = folder.file("three.npy", &npy::i64_file(&[3], &[0; 3]));
    for (arguments, reason) in [
        (&["--labels", &three[..]][..], "its shape is 3 where 2 is needed"),
        (&["--labels", &labels, "--axis", "0"], "where 3 is needed"),
        (&["--labels", &labels, "--weights", &labels], "one weight for each class"),
        (&["--target-probs", &three], "where 2 × 3 is needed"),
        (&["--labels", &folder.name("nowhere.npy")], "no such file"),
    ] {
        let arguments = [&["run", &input, "--op", "cross-entropy"], arguments].concat();
        let error = run(&arguments).failed(3);
        assert!(error.contains(reason), "{error}");
    }
}

/// Ignored rows may hold anything, and nothing of it shows.
#[test]
fn ignored_rows_and_nothing_left() {
    let folder = Folder::new();
    let input = folder.file("x.npy", &npy::f64_file(&[2, 2], &[f64::NAN, f64::INFINITY, 0.0, 0.0]));
    let gradient = folder.name("g.npy");
    let mean_of = |labels: &[i64]| {
        let labels = folder.file("y.npy", &npy::i64_file(&[2], labels));
        let arguments = ["run", &input, "--op", "cross-entropy", "--labels", &labels, "--ignore-index", "-1"];
        run(&[&arguments[..], &["--grad", &gradient, "--json"]].concat()).succeeded().json()
    };
    let facts = mean_of(&[-1, 1]);
    assert_eq!((facts["loss"].as_f64(), &facts["counted"]), (Some(2f64.ln()), &1.into()));
    assert_eq!(npy::parse(&std::fs::read(&gradient).unwrap()).values, [0.0, 0.0, 0.5, -0.5]);
    let facts = mean_of(&[-1, -1]);
    assert_eq!((&facts["loss"], &facts["counted"]), (&"NaN".into(), &0.into()));
    assert_eq!(npy::parse(&std::fs::read(&gradient).unwrap()).values, [0.0; 4]);
}

/// A number alone is told to its last digit.
#[test]
fn the_summary_tells_the_loss_and_who_was_counted() {
    let folder = Folder::new();
    let input = folder.file("x.npy", &npy::f32_file(&[3, 2], &[0.0; 6]));
    let labels = folder.file("y.npy", &npy::i64_file(&[3], &[1, 7, 0]));
    let gradient = folder.name("g.npy");
    let arguments = ["run", &input, "--op", "cross-entropy", "--labels", &labels, "--ignore-index", "7"];
    let summary =
        run(&[&arguments[..], &["--grad", &gradient, "--label-smoothing", "0.1"]].concat()).succeeded();
    for part in [
        "cross-entropy of ",
        "y.npy: 3 i64",
        "mean, 2 of 3 rows counted, label 7 ignored, label smoothing 0.1",
        "g.npy",
        "loss  0.6931472\n",
    ] {
        assert!(summary.text().contains(part), "{part}\n{}", summary.text());
    }
    let summary = run(&[&arguments[..], &["--reduction", "none"]].concat()).succeeded();
    assert!(
        summary.text().contains("[0, :]  0.693147\n") && summary.text().contains("[1, :]  0\n"),
        "{}",
        summary.text()
    );

    let output = folder.name("l.npy");
    let written = run(&[&arguments[..], &["-o", &output, "--grad", &gradient]].concat()).succeeded();
    assert!(written.stdout.is_empty());
    assert!(
        written.stderr.contains("l.npy, grad to ")
            && written.stderr.contains("loss 0.6931472, mean, 2 of 3 rows"),
        "{}",
        written.stderr
    );
    let facts = run(&[&arguments[..], &["--grad", &gradient, "--json"]].concat()).succeeded().json();
    assert_eq!(facts["other_results"][0]["name"], "grad");
    assert_eq!(facts["other_results"][0]["shape"], serde_json::json!([3, 2]));
    assert_eq!(facts["result"]["shape"], serde_json::json!([]));
}

/// Masks are part of a loss, and of its gradient.
#[test]
fn a_loss_over_the_classes_that_take_part() {
    let folder = Folder::new();
    let logits = reference::logits(12);
    let input = folder.file("x.npy", &npy::f64_file(&[3, 4], &logits));
    let labels = folder.file("y.npy", &npy::i64_file(&[3], &[0, 1, 3]));
    let mask = folder.file("mask.npy", &npy::bool_file(&[4], &[true, true, false, true]));
    let gradient = folder.name("g.npy");
    let arguments = ["run", &input, "--op", "cross-entropy", "--labels", &labels, "--mask", &mask];
    let ran = run(&[
        &arguments[..],
        &["--temperature", "0.5", "--grad", &gradient, "--json", "--reduction", "sum"],
    ]
    .concat());
    let loss = ran.succeeded().json()["loss"].as_f64().unwrap();
    let part = [true, true, false, true];
    let cold: Vec<f64> = logits.iter().map(|x| x / 0.5).collect();
    let rows = cold.chunks(4).zip([0, 1, 3]);
    let expected: f64 = rows.clone().map(|(row, y)| reference::log_sum_exp(row, &part) - row[y]).sum();
    assert!((loss - expected).abs() < 1e-12);
    let gradient = npy::parse(&std::fs::read(gradient).unwrap()).values;
    for ((row, y), gradient) in rows.zip(gradient.chunks(4)) {
        let p = reference::softmax(row, &part);
        let expected: Vec<f64> = (0..4).map(|c| (p[c] - f64::from(u8::from(c == y))) / 0.5).collect();
        reference::assert_within(gradient, &expected, 1e-13);
        assert_eq!(gradient[2], 0.0);
    }
}
