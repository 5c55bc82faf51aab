//! Every shader text through naga, and through tint where that is installed.

use std::process::Command;

use wgpu_softmax::{Dialect, shaders};

#[test]
fn naga_accepts_every_shader() {
    let capabilities = naga::valid::Capabilities::SUBGROUP;
    for shader in shaders(Dialect::Native) {
        let module = naga::front::wgsl::parse_str(&shader.source)
            .unwrap_or_else(|error| panic!("{}: {}", shader.name, error.emit_to_string(&shader.source)));
        assert_eq!(module.entry_points.len(), 1, "{}", shader.name);
        assert_eq!(module.entry_points[0].name, shader.entry_point);
        let mut validator = naga::valid::Validator::new(naga::valid::ValidationFlags::all(), capabilities);
        validator.validate(&module).unwrap_or_else(|error| panic!("{}: {error:?}", shader.name));
    }
}

#[test]
fn shaders_without_shuffles_need_no_subgroups() {
    for shader in shaders(Dialect::Native) {
        let module = naga::front::wgsl::parse_str(&shader.source).unwrap();
        let mut validator = naga::valid::Validator::new(
            naga::valid::ValidationFlags::all(),
            naga::valid::Capabilities::empty(),
        );
        let shuffles = ["subgroup_per_row", "shuffle_check"].iter().any(|name| shader.name.starts_with(name))
            || shader.name.contains("shuffles");
        assert_eq!(validator.validate(&module).is_err(), shuffles, "{}", shader.name);
    }
}

#[test]
fn tint_accepts_every_shader() {
    if Command::new("tint").arg("--help").output().is_err() {
        eprintln!("tint is not installed: browsers' stricter rules are not checked here");
        return;
    }
    let folder = std::env::temp_dir().join(format!("wgpu-softmax-shaders-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    for shader in shaders(Dialect::Browser) {
        let path = folder.join(format!("{}.wgsl", shader.name));
        std::fs::write(&path, &shader.source).unwrap();
        let checked = Command::new("tint").args(["--format", "wgsl"]).arg(&path).output().unwrap();
        let complaints = String::from_utf8_lossy(&checked.stderr).into_owned();
        assert!(checked.status.success(), "{}:\n{complaints}", shader.name);
        assert!(!complaints.contains("warning"), "{}:\n{complaints}", shader.name);
    }
    std::fs::remove_dir_all(&folder).unwrap();
}
