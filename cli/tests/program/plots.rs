//! `plot`: pictures that an SVG reader takes, with the right numbers in the right places.

use crate::{Folder, Ran, example, npy, reference, run, run_with_input};

fn plot(arguments: &[&str], output: &str) -> Ran {
    run(&[&["plot"], arguments, &["-o", output]].concat())
}

/// A picture on standard output.
#[track_caller]
fn picture(arguments: &[&str]) -> Picture {
    Picture::of(plot(arguments, "-"))
}

/// An SVG, taken apart.
struct Picture {
    source: String,
    /// What stands between opening and closing tags.
    texts: Vec<String>,
}

impl Picture {
    #[track_caller]
    fn of(ran: Ran) -> Picture {
        let ran = ran.succeeded();
        let source = ran.text().to_string();
        assert!(source.starts_with("<svg xmlns=\"http://www.w3.org/2000/svg\""), "{source:.100}");
        assert!(source.ends_with("</svg>\n"));
        assert!(!source.contains("NaN") && !source.contains("inf"), "a place that is none");
        let mut open = Vec::new();
        let mut texts = Vec::new();
        for piece in source.trim_end().split('<').skip(1) {
            let (tag, text) = piece.split_once('>').unwrap();
            let name = tag.split([' ', '/']).next().unwrap();
            if let Some(closed) = tag.strip_prefix('/') {
                assert_eq!(open.pop(), Some(closed));
            } else if !tag.ends_with('/') && !tag.starts_with('!') {
                open.push(name);
            }
            if !text.is_empty() {
                let text = text.replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&");
                texts.push(text);
            }
        }
        assert!(open.is_empty(), "{open:?}");
        Picture { source, texts }
    }

    #[track_caller]
    fn says(&self, expected: &[&str]) {
        for expected in expected {
            assert!(
                self.texts.iter().any(|text| text == expected),
                "{expected:?} is not among {:?}",
                self.texts
            );
        }
    }

    /// Where the `attribute`s of the circles are.
    fn circles(&self, attribute: &str) -> Vec<f64> {
        let circles = self.source.split("<circle ").skip(1);
        circles
            .map(|circle| {
                let (_, rest) = circle.split_once(&format!("{attribute}=\"")).unwrap();
                rest.split('"').next().unwrap().parse().unwrap()
            })
            .collect()
    }
}

/// Asserts that pixels lie where the values would be on one linear axis.
#[track_caller]
fn assert_proportional(pixels: &[f64], values: &[f64]) {
    assert_eq!(pixels.len(), values.len());
    let extreme = |best: fn(&f64, &f64) -> bool| {
        (0..values.len()).reduce(|a, b| if best(&values[a], &values[b]) { a } else { b }).unwrap()
    };
    let (low, high) = (extreme(|a, b| a <= b), extreme(|a, b| a >= b));
    for (pixel, value) in pixels.iter().zip(values) {
        let share = (value - values[low]) / (values[high] - values[low]);
        let expected = pixels[low] + share * (pixels[high] - pixels[low]);
        assert!((pixel - expected).abs() < 0.05, "{value} stands at {pixel} in place of {expected}");
    }
}

#[test]
fn the_pictures_of_textbooks() {
    let softmax = picture(&["softmax"]);
    softmax.says(&["Softmax of 0, 1, …, 10", "logit", "probability", "0.6"]);
    let logits: Vec<f64> = (0..=10).map(f64::from).collect();
    assert_proportional(&softmax.circles("cx"), &logits);
    assert_proportional(&softmax.circles("cy"), &reference::compute("softmax", &logits, &[11], &[0]));

    picture(&["cross-entropy"]).says(&[
        "Binary cross-entropy",
        "sigmoid z of the logit",
        "loss in nats",
        "y = 1: −ln z",
        "y = 0: −ln(1 − z)",
        "7",
    ]);

    let jacobian = picture(&["jacobian"]);
    let coloured = "∂p[i] / ∂x[j] = p[i] (δ[i, j] − p[j])";
    jacobian.says(&["Jacobian of softmax at 1.25, 2.44, 0.78, 0.12", "logit j", "probability i", coloured]);
    let p = reference::compute("softmax", &[1.25, 2.44, 0.78, 0.12], &[4], &[0]);
    for i in 0..4 {
        for j in 0..4 {
            let entry = p[i] * (f64::from(u8::from(i == j)) - p[j]);
            jacobian.says(&[&format!("{entry:.3}").replace('-', "−")]);
        }
    }
}

#[test]
fn a_row_of_ones_own() {
    let file = example("digits_logits.npy");
    let logits = npy::parse(&std::fs::read(&file).unwrap()).values;
    let p = reference::compute("softmax", &logits, &[1797, 10], &[1]);

    let classes = picture(&["softmax", &file, "--row", "5"]);
    classes.says(&["Softmax of row 5 of digits_logits.npy", "class", "probability", "0", "9"]);
    assert_proportional(&classes.circles("cy"), &p[50..60]);

    let over_logits = picture(&["softmax", &file, "--row", "5", "--over", "logits"]);
    over_logits.says(&["logit"]);
    assert_proportional(&over_logits.circles("cx"), &logits[50..60]);
    assert_proportional(&over_logits.circles("cy"), &p[50..60]);

    let losses = picture(&["cross-entropy", &file, "--row", "5"]);
    losses.says(&["Binary cross-entropy at row 5 of digits_logits.npy"]);
    let sigmoids = logits[50..60].iter().map(|logit| 1.0 / (1.0 + (-logit).exp()));
    let sigmoids: Vec<f64> = sigmoids.clone().chain(sigmoids).collect();
    assert_proportional(&losses.circles("cx"), &sigmoids);
    let softplus = |logit: f64| logit.max(0.0) + (-logit.abs()).exp().ln_1p();
    let expected = logits[50..60].iter().map(|&logit| softplus(-logit));
    let expected: Vec<f64> = expected.chain(logits[50..60].iter().map(|&logit| softplus(logit))).collect();
    assert_proportional(&losses.circles("cy"), &expected);

    picture(&["jacobian", &file, "--row", "5"]).says(&["Jacobian of softmax at row 5 of digits_logits.npy"]);
}

#[test]
fn a_row_along_any_axis() {
    let values: Vec<f32> = (0..24).map(|at| (at * 7 % 24) as f32 / 4.0).collect();
    let file = npy::f32_file(&[2, 3, 4], &values);
    for (axis, row, places) in [
        ("-1", "4", (16..20).collect::<Vec<_>>()),
        ("1", "6", vec![14, 18, 22]),
        ("0,2", "1", vec![4, 5, 6, 7, 16, 17, 18, 19]),
        ("all", "0", (0..24).collect()),
    ] {
        let arguments = ["plot", "softmax", "-", "-o", "-", "--over", "logits", "--axis", axis, "--row", row];
        let drawn = Picture::of(run_with_input(&arguments, &file));
        let logits: Vec<f64> = places.iter().map(|&place| f64::from(values[place])).collect();
        assert_proportional(&drawn.circles("cx"), &logits);
        let name =
            if axis == "all" { "standard input".into() } else { format!("row {row} of standard input") };
        drawn.says(&[&format!("Softmax of {name}")]);
    }
}

#[test]
fn a_row_of_a_tensor() {
    let folder = Folder::new();
    let header = r#"{"logits":{"dtype":"F32","shape":[3],"data_offsets":[0,12]}}"#;
    let mut file = (header.len() as u64).to_le_bytes().to_vec();
    file.extend(header.as_bytes());
    file.extend([1.0f32, 3.0, 2.0].into_iter().flat_map(f32::to_le_bytes));
    let path = folder.file("model.safetensors", &file);
    let drawn = picture(&["softmax", &format!("{path}:logits"), "--over", "logits"]);
    drawn.says(&["Softmax of model.safetensors:logits"]);
    assert_proportional(&drawn.circles("cx"), &[1.0, 3.0, 2.0]);
}

#[test]
fn the_same_numbers_give_the_same_bytes() {
    let folder = Folder::new();
    let file = example("vocab_logits.npy");
    for arguments in [&["softmax"][..], &["softmax", &file], &["cross-entropy"], &["jacobian"]] {
        let expected = picture(arguments).source;
        let path = folder.name("picture.svg");
        let ran = plot(arguments, &path).succeeded();
        assert!(ran.stdout.is_empty());
        assert!(ran.stderr.contains("wrote the picture to "), "{}", ran.stderr);
        assert_eq!(std::fs::read_to_string(&path).unwrap(), expected);
    }
    assert_eq!(folder.names(), ["picture.svg"]);
}

#[test]
fn rows_at_the_edge_of_what_can_be_drawn() {
    let far_apart = [40.0, 0.0, 1.0, -2.0];
    let infinite = [1.0, f64::NEG_INFINITY, 2.0];
    let rows: [&[f64]; 7] =
        [&[3.0], &[5.0, 5.0], &[1e4, 0.0], &[740.0, 0.0], &[8e307, -8e307], &far_apart, &infinite];
    for row in rows {
        let file = npy::f64_file(&[row.len()], row);
        for kind in ["softmax", "jacobian"] {
            Picture::of(run_with_input(&["plot", kind, "-", "-o", "-"], &file));
        }
        let ran = run_with_input(&["plot", "softmax", "-", "-o", "-", "--over", "logits"], &file);
        assert_eq!(ran.stderr.contains("1 of them left out"), row == infinite, "{}", ran.stderr);
        Picture::of(ran);
    }
    let file = npy::f64_file(&[4], &far_apart);
    let coloured = "∂p[i] / ∂x[j] = p[i] (δ[i, j] − p[j]), in units of 1e−17";
    Picture::of(run_with_input(&["plot", "jacobian", "-", "-o", "-"], &file)).says(&[coloured, "−1.155"]);
}

#[test]
fn a_name_of_markup_stays_text() {
    let folder = Folder::new();
    let name = "a$x_1$ <b>&\n.npy";
    if cfg!(windows) {
        return;
    }
    let file = folder.file(name, &npy::f32_file(&[2], &[1.0, 2.0]));
    picture(&["softmax", &file]).says(&["Softmax of a$x_1$ <b>&\\n.npy"]);
}

#[test]
fn what_cannot_be_drawn_is_refused() {
    let folder = Folder::new();
    let path = folder.name("picture.svg");
    let f64s = |name: &str, values: &[f64]| folder.file(name, &npy::f64_file(&[values.len()], values));
    let nan = f64s("nan.npy", &[1.0, f64::NAN]);
    let infinite = f64s("infinite.npy", &[1.0, f64::NEG_INFINITY]);
    let masked = f64s("masked.npy", &[f64::NEG_INFINITY; 2]);
    let apart = f64s("apart.npy", &[1e308, -1e308]);
    let empty = f64s("empty.npy", &[]);
    let wide = f64s("wide.npy", &[0.0; 257]);
    let (digits, missing) = (example("digits_logits.npy"), folder.name("missing.npy"));
    for (arguments, message) in [
        (&["softmax", &nan][..], "nan.npy has no probabilities"),
        (&["softmax", &masked], "masked.npy has no probabilities"),
        (&["softmax", &apart, "--over", "logits"], "too far apart"),
        (&["softmax", &empty], "empty.npy is empty"),
        (&["softmax", &missing], "there is no such file"),
        (&["jacobian", &nan], "has no Jacobian"),
        (&["jacobian", &wide], "has 257 elements, more than this picture shows (256)"),
        (&["jacobian", &digits, "--axis", "0"], "row 0 of digits_logits.npy has 1797 elements"),
        (&["cross-entropy", &infinite], "holds NaN or ∞"),
        (
            &["softmax", &digits, "--row", "1797"],
            "row 1797 is out of range: the array (1797 × 10) has 1797 rows",
        ),
        (&["softmax", &digits, "--axis", "2"], "axis 2"),
    ] {
        let error = plot(arguments, &path).failed(3);
        assert!(error.contains(message), "{error}");
    }
    let nowhere = folder.name("nowhere/picture.svg");
    assert!(plot(&["softmax"], &nowhere).failed(5).contains("does not exist"));
    for arguments in [
        &[][..],
        &["sigmoid"],
        &["softmax", "--row", "1"],
        &["softmax", "--axis", "0"],
        &["softmax", &digits, "--row", "-1"],
        &["jacobian", "--over", "logits"],
    ] {
        assert_eq!(plot(arguments, &path).status, 2, "{arguments:?}");
    }
    assert_eq!(run(&["plot", "softmax"]).status, 2);
    assert!(!folder.join("picture.svg").exists());
}
