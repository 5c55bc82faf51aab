//! Pipelines that are kept in a file: on request, whole or not at all, and of this adapter or ignored.

mod common;

use std::fs;

use common::device::{device, gpu};
use wgpu_softmax::{Gpu, wgpu};

#[test]
fn what_one_context_saves_another_one_finds() {
    let Some(found) = gpu() else { return };
    let name = &found.info().name;
    let folder = std::env::temp_dir().join(format!("wgpu-softmax-pipelines-{}", std::process::id()));
    fs::create_dir_all(&folder).unwrap();
    let file = folder.join("pipelines");
    let open = || Gpu::named_blocking(name).unwrap();
    let computes = |gpu: &Gpu| {
        let probabilities = gpu.softmax_blocking(&[1.0f32, 1.0, 1.0, 1.0], &[2, 2], -1).unwrap();
        assert_eq!(probabilities, [0.5; 4]);
    };

    let first = open();
    // Nobody has asked for it.
    assert!(!first.save_pipelines().unwrap());
    if first.device().features().contains(wgpu::Features::PIPELINE_CACHE) {
        assert!(!first.keep_pipelines_in(&file), "there is no file yet");
        computes(&first);
        assert!(first.save_pipelines().unwrap());
        let saved = fs::read(&file).unwrap();

        let second = open();
        assert!(second.keep_pipelines_in(&file));
        computes(&second);
        assert!(second.save_pipelines().unwrap());
        assert_eq!(fs::read_dir(&folder).unwrap().count(), 1, "nothing is left beside the file");

        let mut damaged = saved;
        let middle = damaged.len() / 2;
        damaged[middle] ^= 1;
        fs::write(&file, &damaged).unwrap();
        let third = open();
        assert!(!third.keep_pipelines_in(&file), "damaged");
        computes(&third);
        assert!(third.save_pipelines().unwrap());
        assert!(open().keep_pipelines_in(&file), "it has been replaced");

        let nowhere = open();
        nowhere.keep_pipelines_in(folder.join("no such folder").join("pipelines"));
        computes(&nowhere);
        nowhere.save_pipelines().unwrap_err();
    }
    let without = device(name, wgpu::Features::empty(), wgpu::Limits::default()).unwrap();
    assert!(!without.keep_pipelines_in(&file) && !without.save_pipelines().unwrap());
    computes(&without);
    fs::remove_dir_all(&folder).unwrap();
}
