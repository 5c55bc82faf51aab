//! Logits that real models produced, with what is known of them.

use crate::{Folder, example, has_adapter, npy, reference, run};

fn devices() -> &'static [&'static str] {
    if has_adapter() { &["auto", "cpu", "gpu"] } else { &["auto", "cpu"] }
}

fn singles(name: &str) -> Vec<f64> {
    npy::example(name)
        .chunks_exact(4)
        .map(|bytes| f32::from_le_bytes(bytes.try_into().unwrap()).into())
        .collect()
}

#[track_caller]
fn computed(name: &str, device: &str, arguments: &[&str]) -> npy::Array {
    let folder = Folder::new();
    let output = folder.name("out.npy");
    run(&[&["run", &example(name), "-o", &output, "--device", device], arguments].concat()).succeeded();
    npy::parse(&std::fs::read(output).unwrap())
}

#[test]
fn digits_are_recognised() {
    let labels: Vec<i64> = npy::example("digits_labels.npy")
        .chunks_exact(8)
        .map(|bytes| i64::from_le_bytes(bytes.try_into().unwrap()))
        .collect();
    let expected = reference::compute("softmax", &singles("digits_logits.npy"), &[1797, 10], &[1]);
    for device in devices() {
        let result = computed("digits_logits.npy", device, &[]);
        assert_eq!(result.shape, [1797, 10]);
        reference::assert_close(&result.values, &expected, "<f4");
        let right = (result.values.chunks(10).zip(&labels))
            .filter(|(row, label)| {
                let largest = (0..10).rev().max_by(|&a, &b| row[a].total_cmp(&row[b])).unwrap();
                largest as i64 == **label
            })
            .count();
        assert_eq!(format!("{:.2}", right as f64 * 100.0 / 1797.0), "97.66");
    }
}

#[test]
fn attention_along_its_last_axis() {
    let shape = [2, 2, 12, 64, 64];
    let scores = singles("attention_scores.npy");
    for op in ["softmax", "log-softmax", "logsumexp"] {
        let expected = reference::compute(op, &scores, &shape, &[4]);
        for device in devices() {
            let result = computed("attention_scores.npy", device, &["--op", op]);
            assert_eq!(result.shape, if op == "logsumexp" { &shape[..4] } else { &shape[..] });
            reference::assert_close(&result.values, &expected, "<f4");
        }
    }
}

#[test]
fn a_vocabulary_of_thirty_thousand() {
    let expected = reference::compute("softmax", &singles("vocab_logits.npy"), &[8, 30522], &[1]);
    for device in devices() {
        let result = computed("vocab_logits.npy", device, &[]);
        reference::assert_close(&result.values, &expected, "<f4");
        for row in result.values.chunks(30522) {
            assert!((row.iter().sum::<f64>() - 1.0).abs() <= 16.0 * 2f64.powi(-24));
        }
    }
}

#[test]
fn images_and_masks_are_numbers_too() {
    let images: Vec<f64> = npy::example("digits_images.npy").into_iter().map(f64::from).collect();
    let result = computed("digits_images.npy", "auto", &["--axis", "0"]);
    assert_eq!((result.descr.as_str(), &result.shape[..]), ("<f8", &[1797, 64][..]));
    reference::assert_close(
        &result.values,
        &reference::compute("softmax", &images, &[1797, 64], &[0]),
        "<f8",
    );
    assert_eq!(computed("attention_mask.npy", "auto", &[]).shape, [2, 64]);
}

/// The loss that the digits' classifier ends with, and the gradient by its logits.
#[test]
fn the_digits_with_their_labels() {
    let logits = singles("digits_logits.npy");
    let labels: Vec<usize> = npy::example("digits_labels.npy")
        .chunks_exact(8)
        .map(|bytes| i64::from_le_bytes(bytes.try_into().unwrap()) as usize)
        .collect();
    let folder = Folder::new();
    let gradient = folder.name("gradient.npy");
    let arguments = ["--op", "cross-entropy", "--labels", &example("digits_labels.npy"), "--grad", &gradient];
    let part = [true; 10];
    let rows = logits.chunks(10).zip(&labels);
    let expected: f64 = rows.clone().map(|(row, &y)| reference::log_sum_exp(row, &part) - row[y]).sum();
    for device in devices() {
        let loss = computed("digits_logits.npy", device, &arguments);
        assert!(loss.shape.is_empty());
        reference::assert_close(&loss.values, &[expected / 1797.0], "<f4");
        let gradient = npy::parse(&std::fs::read(&gradient).unwrap());
        assert_eq!((gradient.descr.as_str(), &gradient.shape[..]), ("<f4", &[1797, 10][..]));
        for ((row, &y), gradient) in rows.clone().zip(gradient.values.chunks(10)) {
            for (class, (p, actual)) in reference::softmax(row, &part).iter().zip(gradient).enumerate() {
                let expected = (p - f64::from(u8::from(class == y))) / 1797.0;
                assert!((actual - expected).abs() <= 1e-5 * expected.abs() + 1e-9, "{actual} {expected}");
            }
        }
    }
}

/// The padding of both texts hides keys from every query, and the causal mask those that come later.
#[test]
fn attention_with_its_padding_and_causally() {
    let scores = singles("attention_scores.npy");
    let padding = npy::example("attention_mask.npy");
    let folder = Folder::new();
    let mask = folder.file("mask.npy", &npy::file("|b1", false, &[2, 1, 1, 1, 64], &padding));
    let cases = [(&["--mask", &mask][..], false), (&["--mask", &mask, "--causal"], true)];
    let cases =
        devices().iter().flat_map(|device| cases.map(|(arguments, causal)| (device, arguments, causal)));
    for (device, arguments, causal) in cases {
        let result = computed("attention_scores.npy", device, arguments);
        assert_eq!(result.shape, [2, 2, 12, 64, 64]);
        for (row, (scores, weights)) in scores.chunks(64).zip(result.values.chunks(64)).enumerate() {
            let (text, query) = (row / (2 * 12 * 64), row % 64);
            let part: Vec<bool> =
                (0..64).map(|key| padding[64 * text + key] == 1 && (!causal || key <= query)).collect();
            reference::assert_close(weights, &reference::softmax(scores, &part), "<f4");
        }
    }
}

#[test]
fn a_vocabulary_with_its_tokens() {
    let logits = singles("vocab_logits.npy");
    let tokens: Vec<usize> = npy::example("vocab_tokens.npy")
        .chunks_exact(8)
        .map(|bytes| i64::from_le_bytes(bytes.try_into().unwrap()) as usize)
        .collect();
    let arguments =
        ["--op", "cross-entropy", "--labels", &example("vocab_tokens.npy"), "--reduction", "none"];
    let part = vec![true; 30522];
    let rows = logits.chunks(30522).zip(tokens);
    let expected: Vec<f64> = rows.map(|(row, y)| reference::log_sum_exp(row, &part) - row[y]).collect();
    for device in devices() {
        let losses = computed("vocab_logits.npy", device, &arguments);
        assert_eq!(losses.shape, [8]);
        reference::assert_close(&losses.values, &expected, "<f4");
    }
}
