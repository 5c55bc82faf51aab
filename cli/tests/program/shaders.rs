//! `shaders`: every module in a folder, with no GPU about.

use std::collections::BTreeMap;

use crate::{Folder, run, without_adapters};

fn written(folder: &Folder, arguments: &[&str]) -> BTreeMap<String, String> {
    let path = folder.name("made/for/it");
    let ran = without_adapters(&[&["shaders", "-o", &path], arguments].concat()).succeeded();
    let files: BTreeMap<String, String> = std::fs::read_dir(&path)
        .unwrap()
        .map(|entry| entry.unwrap())
        .map(|entry| {
            (entry.file_name().into_string().unwrap(), std::fs::read_to_string(entry.path()).unwrap())
        })
        .collect();
    assert!(ran.stdout.is_empty());
    assert!(ran.stderr.contains(&format!("wrote {} modules", files.len())), "{}", ran.stderr);
    files
}

#[test]
fn every_module_by_name() {
    let native = written(&Folder::new(), &[]);
    assert_eq!(native.len(), wgpu_softmax::shaders(wgpu_softmax::Dialect::Native).len());
    for (name, text) in &native {
        assert!(name.ends_with(".wgsl") && text.contains("@compute"), "{name}");
        assert!(!text.contains("enable "), "{name}");
    }
    for kernel in ["subgroup_per_row", "workgroup_per_row", "split_row_write", "lane_per_column"] {
        for op in ["softmax", "log-softmax", "logsumexp"] {
            let start = format!("{kernel}.{op}.f32");
            assert!(native.keys().any(|name| name.starts_with(&start)), "{start}");
        }
    }
}

#[test]
fn a_browser_gets_its_extensions() {
    let folder = Folder::new();
    let native = written(&folder, &[]);
    // The same names in the same folder: replaced.
    let browser = written(&folder, &["--browser"]);
    assert_eq!(native.keys().collect::<Vec<_>>(), browser.keys().collect::<Vec<_>>());
    let mut enabled = 0;
    for (name, text) in &browser {
        let shuffles = text.contains("subgroupShuffle");
        assert_eq!(text.starts_with("enable subgroups;"), shuffles, "{name}");
        enabled += usize::from(shuffles);
    }
    assert!(enabled > 0);
}

#[test]
fn a_folder_that_cannot_be_made() {
    let folder = Folder::new();
    let file = folder.file("file", b"");
    for path in [file.clone(), format!("{file}/below")] {
        let error = run(&["shaders", "-o", &path]).failed(5);
        assert!(error.contains("cannot make the folder"), "{error}");
    }
}
