//! From a kernel, an operation, a dtype and the shared parts to the text of one shader.
//!
//! WGSL's module scope knows no order, so a shader is its parts one after the other. What must be decided
//! here and not by an `override` is one line (`HELD`) and one directive (`enable subgroups;`, which
//! browsers demand and naga refuses).

use crate::kernels::{Entry, Geometry, Meeting, Role};
use crate::{Dtype, Op, Output, Precision};

/// Everything that decides on a shader's text and its constants: one pipeline each.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Shader {
    pub(crate) entry: &'static Entry,
    pub(crate) op: Op,
    pub(crate) dtype: Dtype,
    pub(crate) precision: Precision,
    pub(crate) geometry: Geometry,
    pub(crate) in_place: bool,
    pub(crate) hide_intermediates: bool,
}

/// Who will read the text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Dialect {
    /// naga, which wgpu uses for every native backend.
    Native,
    /// A browser, whose WGSL wants its extensions enabled.
    Browser,
}

macro_rules! part {
    ($path:literal) => {
        include_str!(concat!("../shaders/", $path))
    };
}

impl Shader {
    /// The text that is given to the driver.
    pub(crate) fn source(&self, dialect: Dialect) -> String {
        let mut parts = Vec::new();
        if dialect == Dialect::Browser && self.shuffles() {
            parts.push("enable subgroups;\n");
        }
        parts.push(self.entry.source);
        parts.extend([part!("shared/parameters.wgsl"), part!("shared/walk.wgsl")]);
        parts.push(if self.in_place {
            part!("shared/bindings_in_place.wgsl")
        } else {
            part!("shared/bindings_apart.wgsl")
        });
        parts.push(match self.dtype {
            _ => part!("dtypes/f32.wgsl"),
        });
        parts.extend([part!("shared/special_values.wgsl"), part!("shared/shifted.wgsl")]);
        match self.precision {
            Precision::Accurate if self.hide_intermediates => {
                parts.extend([
                    part!("shared/hide_intermediates.wgsl"),
                    part!("shared/exponential_accurate.wgsl"),
                ]);
            }
            Precision::Accurate => {
                parts.extend([part!("shared/hide_nothing.wgsl"), part!("shared/exponential_accurate.wgsl")]);
            }
            Precision::Fast => parts.push(part!("shared/exponential_fast.wgsl")),
        }
        if self.entry.role == Role::Check {
            return parts.join("\n");
        }

        let held = self.geometry.held.map(|held| format!("const HELD: u32 = {held}u;\n"));
        parts.push(part!("shared/statistics.wgsl"));
        match &held {
            Some(line) => parts.extend([line.as_str(), part!("shared/row_held.wgsl")]),
            None => parts.push(part!("shared/row_streamed.wgsl")),
        }
        match self.geometry.meeting {
            Meeting::Alone => parts.push(part!("shared/column_statistics.wgsl")),
            Meeting::Subgroup => parts.push(part!("shared/reduce_subgroup.wgsl")),
            Meeting::Workgroup => parts.push(part!("shared/reduce_workgroup.wgsl")),
            Meeting::WorkgroupBySubgroups { .. } => {
                parts.push(part!("shared/reduce_workgroup_by_subgroups.wgsl"))
            }
        }
        if self.geometry.meeting != Meeting::Alone {
            parts.push(part!("shared/row_statistics.wgsl"));
        }
        if self.entry.role != Role::Whole {
            parts.push(part!("shared/partial_statistics.wgsl"));
        }
        if self.entry.role != Role::Statistics {
            let (of_the_row, op) = match self.op {
                Op::Softmax => (part!("shared/probability.wgsl"), part!("ops/softmax.wgsl")),
                Op::LogSoftmax => (part!("shared/logarithm.wgsl"), part!("ops/log_softmax.wgsl")),
                Op::LogSumExp => (part!("shared/logarithm.wgsl"), part!("ops/log_sum_exp.wgsl")),
                Op::Jacobian => (part!("shared/probability.wgsl"), part!("ops/jacobian.wgsl")),
                Op::LogSoftmaxJacobian => {
                    (part!("shared/probability.wgsl"), part!("ops/log_softmax_jacobian.wgsl"))
                }
                _ => (part!("shared/probability.wgsl"), part!("ops/softmax.wgsl")),
            };
            parts.extend([of_the_row, op]);
            match self.op.output() {
                Output::PerElement => parts.push(part!("shared/output_per_element.wgsl")),
                Output::PerRow | Output::TwoPerRow => parts.push(part!("shared/output_per_row.wgsl")),
                // The kernel writes pairs itself.
                Output::PerPair => {}
            }
        }
        parts.join("\n")
    }

    /// The values of the shader's `override` constants.
    pub(crate) fn constants(&self) -> Vec<(&'static str, f64)> {
        let mut constants = vec![
            ("WORKGROUP", f64::from(self.geometry.workgroup)),
            ("LANES", f64::from(self.geometry.lanes)),
        ];
        if let Meeting::WorkgroupBySubgroups { shuffled } = self.geometry.meeting {
            constants.push(("SHUFFLED", f64::from(shuffled)));
            constants.push(("MEETING", f64::from(self.geometry.lanes / shuffled)));
        }
        constants
    }

    /// A name that tells the shader's text apart from every other one.
    pub(crate) fn name(&self) -> String {
        let mut name = self.entry.name.to_string();
        if !matches!(self.entry.role, Role::Statistics | Role::Check) {
            name = format!("{name}.{}", self.op);
        }
        name = format!("{name}.{}", self.dtype);
        let variants = [
            (self.precision == Precision::Fast, "fast".to_string()),
            (self.hide_intermediates && self.precision == Precision::Accurate, "hidden".to_string()),
            (self.in_place, "in_place".to_string()),
            (self.geometry.held.is_some(), format!("held_{}", self.geometry.held.unwrap_or(0))),
            (matches!(self.geometry.meeting, Meeting::Workgroup), "workgroup_memory".to_string()),
            (matches!(self.geometry.meeting, Meeting::WorkgroupBySubgroups { .. }), "shuffles".to_string()),
        ];
        for (_, variant) in variants.into_iter().filter(|(applies, _)| *applies) {
            name = format!("{name}.{variant}");
        }
        name
    }

    fn shuffles(&self) -> bool {
        matches!(self.geometry.meeting, Meeting::Subgroup | Meeting::WorkgroupBySubgroups { .. })
    }
}

/// A shader as a driver gets it.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct ShaderText {
    /// Kernel, operation, dtype and variant, separated by dots.
    pub name: String,
    /// The entry point.
    pub entry_point: &'static str,
    /// The module, in WGSL. Workgroup and lane counts are `override` constants.
    pub source: String,
}

/// Every shader that this crate gives to a driver, whatever the device: for reading, for other compilers,
/// for use elsewhere.
///
/// ```
/// use wgpu_softmax::{Dialect, shaders};
/// let all = shaders(Dialect::Native);
/// assert!(all.iter().any(|shader| shader.name == "workgroup_per_row.softmax.f32.held_8.shuffles"));
/// ```
pub fn shaders(dialect: Dialect) -> Vec<ShaderText> {
    let mut texts: Vec<ShaderText> = Vec::new();
    for shader in every_shader() {
        let name = shader.name();
        if !texts.iter().any(|text| text.name == name) {
            texts.push(ShaderText { name, entry_point: shader.entry.name, source: shader.source(dialect) });
        }
    }
    texts
}

/// Every combination of what a shader is made of.
fn every_shader() -> Vec<Shader> {
    let mut shaders = Vec::new();
    for entry in crate::kernels::ENTRIES {
        for op in Op::ALL {
            for (precision, hide_intermediates) in
                [(Precision::Accurate, false), (Precision::Accurate, true), (Precision::Fast, false)]
            {
                for in_place in [false, true] {
                    let pairs = op.output() == Output::PerPair;
                    let pointless = match entry.role {
                        Role::Check => precision == Precision::Fast || in_place,
                        Role::Statistics => pairs,
                        Role::Whole | Role::Write => {
                            (in_place && op.output() != Output::PerElement)
                                || pairs != (entry.name == crate::kernels::jacobian::ENTRY.name)
                        }
                    };
                    if pointless {
                        continue;
                    }
                    for geometry in crate::kernels::geometries(entry) {
                        let dtype = Dtype::F32;
                        shaders.push(Shader {
                            entry,
                            op,
                            dtype,
                            precision,
                            geometry,
                            in_place,
                            hide_intermediates,
                        });
                    }
                }
            }
        }
    }
    shaders
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_stands_for_one_text() {
        let mut sources = std::collections::HashMap::new();
        for shader in every_shader() {
            let source = shader.source(Dialect::Native);
            assert_eq!(sources.entry(shader.name()).or_insert_with(|| source.clone()), &source);
        }
        let different: std::collections::HashSet<_> = sources.values().collect();
        assert_eq!(different.len(), sources.len());
    }

    #[test]
    fn only_the_browsers_text_enables_extensions() {
        for shader in every_shader() {
            assert!(!shader.source(Dialect::Native).contains("enable "));
            assert_eq!(shader.source(Dialect::Browser).starts_with("enable subgroups;"), shader.shuffles());
        }
    }
}
