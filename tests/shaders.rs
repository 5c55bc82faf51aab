//! Every shader text through naga. `cargo xtask shaders` asks every other compiler.

use naga::valid::{Capabilities, ValidationFlags, Validator};
use wgpu_softmax::{Dialect, shaders};

#[test]
fn naga_accepts_every_shader_and_only_shuffles_need_subgroups() {
    for shader in shaders(Dialect::Native) {
        let module = naga::front::wgsl::parse_str(&shader.source)
            .unwrap_or_else(|error| panic!("{}: {}", shader.name, error.emit_to_string(&shader.source)));
        assert_eq!(module.entry_points.len(), 1, "{}", shader.name);
        assert_eq!(module.entry_points[0].name, shader.entry_point);
        let refused = |capabilities| {
            Validator::new(ValidationFlags::all(), capabilities).validate(&module).err().map(Box::new)
        };
        let shuffles = ["subgroup_per_row", "shuffle_check"].iter().any(|name| shader.name.starts_with(name))
            || shader.name.contains("shuffles");
        let needed = if shuffles {
            assert!(refused(Capabilities::empty()).is_some(), "{} has no shuffles", shader.name);
            Capabilities::SUBGROUP
        } else {
            Capabilities::empty()
        };
        if let Some(error) = refused(needed) {
            panic!("{}: {error:?}", shader.name);
        }
    }
}
