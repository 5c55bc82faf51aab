//! From a kernel, an operation, dtypes and the shared parts to the text of one shader.
//!
//! WGSL's module scope knows no order, so a shader is its parts one after the other. What must be decided
//! here and not by an `override` is a few lines: how many quads a lane holds (`HELD`), through which dtype
//! the logits, the operand and the result go, and the directive `enable subgroups;`, which browsers demand
//! and naga refuses.

use crate::kernels::{Entry, Geometry, Meeting, Role, subgroup_per_row};
use crate::{Dtype, Given, Op, Output, Precision};

/// The types of the elements that an operation reads and writes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Dtypes {
    pub(crate) logits: Dtype,
    pub(crate) result: Dtype,
    /// Of the operand, or of target probabilities; `None` where there is neither.
    pub(crate) operand: Option<Dtype>,
}

impl Dtypes {
    /// The same type for all that `op` has.
    pub(crate) fn same(op: Op, dtype: Dtype) -> Self {
        Dtypes { logits: dtype, result: dtype, operand: op.operand().map(|_| dtype) }
    }

    /// Bytes of the widest element.
    pub(crate) fn most_bytes(&self) -> u64 {
        let operand = self.operand.map_or(0, Dtype::bytes);
        self.logits.bytes().max(self.result.bytes()).max(operand)
    }
}

impl std::fmt::Display for Dtypes {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Dtypes { logits, result, operand } = self;
        write!(f, "{logits}")?;
        match operand {
            Some(operand) if operand != logits => write!(f, " with {operand}")?,
            _ => {}
        }
        if result != logits { write!(f, " to {result}") } else { Ok(()) }
    }
}

/// What buffers an adjustment of logits has (none where it is a temperature for all, or causality), and how its masks lie.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Adjusted {
    pub(crate) mask: bool,
    pub(crate) additive_mask: bool,
    /// Whether a mask is broadcast along some of the classes' axes, and not along others.
    pub(crate) by_digits: bool,
    pub(crate) per_row: bool,
}

/// How a block of a Jacobian is written.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub(crate) enum Pairs {
    /// By columns, or quads of them, each of which a lane keeps while the rows go by.
    #[default]
    ByColumns,
    /// From one element to the next, whichever rows they are of.
    Flat {
        /// So many classes of a row have room in workgroup memory.
        kept: u32,
        /// Whether blocks consist of aligned quads, which rows then need not.
        quads: bool,
    },
}

/// Everything that decides on a shader's text and its constants: one pipeline each.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Shader {
    pub(crate) entry: &'static Entry,
    pub(crate) op: Op,
    pub(crate) dtypes: Dtypes,
    pub(crate) precision: Precision,
    pub(crate) given: Given,
    pub(crate) geometry: Geometry,
    pub(crate) in_place: bool,
    /// Whether all that it reads and writes of a row, but for values of rows, consists of aligned quads.
    pub(crate) quads: bool,
    /// Whether lanes that are neighbours store neighbouring words where rows do not consist of quads.
    pub(crate) side_by_side: bool,
    /// How a block is written where the result is a Jacobian.
    pub(crate) pairs: Pairs,
    /// How logits are adjusted, if they are.
    pub(crate) adjusted: Option<Adjusted>,
    /// Whether a loss's classes have weights.
    pub(crate) class_weights: bool,
    /// Whether a loss leaves values of rows.
    pub(crate) row_values: bool,
    /// Whether a loss's factors come from a tally of its labels.
    pub(crate) tallied: bool,
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

/// What is added up over a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Sums {
    /// The terms.
    Terms,
    /// Also their products with the operand.
    Products,
    /// Also the operand itself.
    Operand,
    /// The terms times their weights.
    Weighted,
    /// Also the distances from the maximum that a loss is made of.
    Loss,
}

impl Sums {
    pub(crate) fn of(op: Op) -> Self {
        match op {
            Op::Vjp | Op::Jvp | Op::LogSoftmaxJvp => Sums::Products,
            Op::LogSoftmaxVjp => Sums::Operand,
            Op::WeightedLogSumExp | Op::SignedLogSumExp => Sums::Weighted,
            Op::CrossEntropy | Op::CrossEntropyGradient => Sums::Loss,
            _ => Sums::Terms,
        }
    }

    /// Words of a part's statistics: the maximum, the power of two, and what is added up.
    pub(crate) fn partial_words(self) -> u64 {
        match self {
            Sums::Terms | Sums::Weighted => 4,
            Sums::Products | Sums::Operand => 6,
            Sums::Loss => 10,
        }
    }

    fn name(self) -> Option<&'static str> {
        match self {
            Sums::Terms => None,
            Sums::Products => Some("products"),
            Sums::Operand => Some("operand"),
            Sums::Weighted => Some("weighted"),
            Sums::Loss => Some("loss"),
        }
    }
}

macro_rules! part {
    ($path:literal) => {
        include_str!(concat!("../shaders/", $path))
    };
}

impl Shader {
    /// The text that is given to the driver.
    pub(crate) fn source(&self, dialect: Dialect) -> String {
        let mut lines = Vec::new();
        if dialect == Dialect::Browser && self.shuffles() {
            lines.push("enable subgroups;\n".to_string());
        }
        match self.entry.role {
            Role::Labels => {
                let labels = part!("shared/labels.wgsl");
                let weights = self.weights_of_classes();
                return [self.entry.source, part!("shared/parameters.wgsl"), labels, weights].join("\n");
            }
            Role::RowValues => return [self.entry.source, part!("shared/parameters.wgsl")].join("\n"),
            role if role.stands_alone() => {
                lines.push(self.entry.source.to_string());
                return lines.join("\n");
            }
            _ => {}
        }
        let mut parts = vec![self.entry.source, part!("shared/parameters.wgsl"), part!("shared/row.wgsl")];
        parts.extend(self.storage());
        parts.extend([part!("shared/special_values.wgsl"), part!("shared/shifted.wgsl")]);
        if self.entry.role != Role::Check {
            parts.extend([
                self.quads_as(part!("shared/quads_whole.wgsl"), part!("shared/quads_of_words.wgsl")),
                match self.geometry.meeting {
                    Meeting::Tile => part!("shared/classes_spread.wgsl"),
                    Meeting::AloneAsInTile => part!("shared/classes_spread_alone.wgsl"),
                    _ => part!("shared/classes_side_by_side.wgsl"),
                },
            ]);
        }
        parts.extend(self.logits());
        parts.extend(self.exponential());
        parts.extend(self.second_input());
        if self.entry.role != Role::Check {
            parts.extend(self.statistics());
            if self.entry.role != Role::Statistics {
                parts.extend(self.operation());
            }
            lines.extend(self.geometry.held.map(|held| format!("const HELD: u32 = {held}u;\n")));
        }
        lines.extend(parts.into_iter().map(String::from));
        lines.extend(self.dtype_lines());
        lines.join("\n")
    }

    /// Bindings, and the dtypes that go through them.
    fn storage(&self) -> Vec<&'static str> {
        let shared_words = self.dtypes.result.bytes() == 2;
        let logits_alone =
            self.quads_as(part!("shared/logits_quads.wgsl"), part!("shared/logits_words.wgsl"));
        let mut parts = match (self.in_place, self.stores_quads(), shared_words) {
            (false, true, _) => vec![logits_alone, part!("shared/result_quads.wgsl")],
            (false, false, false) => vec![logits_alone, part!("shared/result_words.wgsl")],
            (false, false, true) => vec![logits_alone, part!("shared/result_shared_words.wgsl")],
            (true, true, _) => vec![part!("shared/in_place_quads.wgsl")],
            (true, false, false) => vec![part!("shared/in_place_words.wgsl")],
            (true, false, true) => vec![part!("shared/in_place_shared_words.wgsl")],
        };
        let Dtypes { logits, result, operand } = self.dtypes;
        let mut dtypes = vec![logits, result];
        dtypes.extend(operand);
        let of = |dtype| match dtype {
            Dtype::F16 => part!("dtypes/f16.wgsl"),
            Dtype::Bf16 => part!("dtypes/bf16.wgsl"),
            Dtype::F32 | Dtype::F64 => part!("dtypes/f32.wgsl"),
        };
        parts.extend(Dtype::ON_GPU.into_iter().filter(|dtype| dtypes.contains(dtype)).map(of));
        parts
    }

    /// One part where four neighbours are loaded and stored as a whole, another where they are not.
    fn quads_as(&self, whole: &'static str, of_words: &'static str) -> &'static str {
        if self.quads { whole } else { of_words }
    }

    /// Whether results are written four neighbours at a time: those of rows are not, nor are statistics.
    fn stores_quads(&self) -> bool {
        if matches!(self.pairs, Pairs::Flat { quads: true, .. }) {
            return true;
        }
        let per_element = matches!(self.op.output(), Output::PerElement | Output::PerPair);
        self.quads && per_element && (self.in_place || self.entry.role != Role::Statistics)
    }

    /// What becomes of the logits before anything else.
    fn logits(&self) -> Vec<&'static str> {
        let Some(Adjusted { mask, additive_mask, by_digits, per_row }) = self.adjusted else {
            return vec![part!("shared/plain_logits.wgsl")];
        };
        let mut parts = vec![part!("shared/adjusted_logits.wgsl")];
        if mask || additive_mask {
            parts.push(part!("shared/mask_place.wgsl"));
            parts.push(match by_digits {
                true => part!("shared/places_by_digits.wgsl"),
                false => part!("shared/places_in_line.wgsl"),
            });
        }
        parts.push(if mask { part!("shared/mask.wgsl") } else { part!("shared/no_mask.wgsl") });
        parts.push(match additive_mask {
            true => part!("shared/additive_mask.wgsl"),
            false => part!("shared/no_additive_mask.wgsl"),
        });
        parts.push(if per_row { part!("shared/per_row.wgsl") } else { part!("shared/nothing_per_row.wgsl") });
        parts
    }

    fn weights_of_classes(&self) -> &'static str {
        match self.class_weights {
            true => part!("shared/class_weights.wgsl"),
            false => part!("shared/no_class_weights.wgsl"),
        }
    }

    /// Through which dtype each buffer is read and written.
    fn dtype_lines(&self) -> Vec<String> {
        let Dtypes { logits, result, operand } = self.dtypes;
        let load = |what: &str, dtype: Dtype| {
            format!(
                "fn load_{what}(element: u32) -> u32 {{ \
                 return {dtype}_loaded({what}_word({dtype}_word(element)), element); }}\n"
            )
        };
        let load_quad = |what: &str, binding: &str, dtype: Dtype| {
            let name = format!("{}{}Quad", what[..1].to_uppercase(), &what[1..]);
            let words = format!("{}_QUAD_WORDS", what.to_uppercase());
            format!(
                "alias {name} = {dtype}_quad;\nconst {words}: u32 = {dtype}_QUAD_WORDS;\n\
                 fn load_{what}_quad(quad: u32) -> vec4<u32> {{ return {dtype}_quad_loaded({binding}[quad]); }}\n"
            )
        };
        let mut lines = vec![load("logits", logits)];
        lines.extend(operand.map(|dtype| load("operand", dtype)));
        if self.quads {
            lines.push(load_quad("logits", "logits", logits));
            lines.extend(operand.map(|dtype| load_quad("operand", "second_operand", dtype)));
        }
        if self.stores_quads() {
            lines.push(format!(
                "alias ResultQuad = {result}_quad;\n\
                 fn store_result_quad(quad: u32, bits: vec4<u32>) {{ \
                 store_quad(quad, {result}_quad_stored(bits)); }}\n"
            ));
            return lines;
        }
        let store = if result.bytes() == 2 { "store_half" } else { "store_word" };
        lines.push(format!("fn stored(bits: u32) -> u32 {{ return {result}_stored(bits); }}\n"));
        lines.push(format!(
            "fn store_result(element: u32, bits: u32) {{ {store}(element, stored(bits)); }}\n"
        ));
        lines
    }

    fn exponential(&self) -> Vec<&'static str> {
        match (self.given, self.precision) {
            (Given::Probabilities, _) => vec![part!("shared/probabilities_given.wgsl")],
            (_, Precision::Accurate) if self.hide_intermediates => {
                vec![part!("shared/hide_intermediates.wgsl"), part!("shared/exponential_accurate.wgsl")]
            }
            (_, Precision::Accurate) => {
                vec![part!("shared/hide_nothing.wgsl"), part!("shared/exponential_accurate.wgsl")]
            }
            (_, Precision::Fast) => vec![part!("shared/exponential_fast.wgsl")],
        }
    }

    /// What is read beside the logits.
    fn second_input(&self) -> Vec<&'static str> {
        let sums = Sums::of(self.op);
        let mut parts = Vec::new();
        let operand = [
            part!("shared/operand.wgsl"),
            self.quads_as(part!("shared/operand_quads.wgsl"), part!("shared/operand_words.wgsl")),
        ];
        match (self.dtypes.operand, self.geometry.held) {
            (None, _) => parts.push(part!("shared/no_operand.wgsl")),
            (Some(_), Some(_)) => {
                parts.extend(operand);
                parts.push(part!("shared/operand_held.wgsl"));
            }
            (Some(_), None) => {
                parts.extend(operand);
                parts.push(part!("shared/operand_streamed.wgsl"));
            }
        }
        match (sums, self.dtypes.operand) {
            (Sums::Loss, None) => parts.extend([part!("shared/labels.wgsl"), part!("shared/targets.wgsl")]),
            (Sums::Loss, Some(_)) => parts.push(part!("shared/target_probabilities.wgsl")),
            _ => parts.push(part!("shared/no_targets.wgsl")),
        }
        if sums == Sums::Loss {
            parts.push(self.weights_of_classes());
        }
        parts.push(match sums {
            Sums::Weighted => part!("shared/weights_count.wgsl"),
            _ => part!("shared/everything_counts.wgsl"),
        });
        parts
    }

    /// How the lanes of a row find what has to be known of it.
    fn statistics(&self) -> Vec<&'static str> {
        let mut parts = vec![part!("shared/statistics.wgsl"), part!("shared/quad.wgsl")];
        parts.push(match Sums::of(self.op) {
            Sums::Terms => part!("shared/sums_of_terms.wgsl"),
            Sums::Products => part!("shared/sums_with_products.wgsl"),
            Sums::Operand => part!("shared/sums_with_operand.wgsl"),
            Sums::Weighted => part!("shared/sums_of_weighted_terms.wgsl"),
            Sums::Loss => part!("shared/sums_of_loss.wgsl"),
        });
        if matches!(Sums::of(self.op), Sums::Products | Sums::Operand) {
            parts.push(part!("shared/made_smaller.wgsl"));
        }
        parts.push(match self.geometry.held {
            Some(_) => part!("shared/row_held.wgsl"),
            None => part!("shared/row_streamed.wgsl"),
        });
        match self.geometry.meeting {
            Meeting::Alone | Meeting::AloneAsInTile => parts.extend([
                part!("shared/column_statistics.wgsl"),
                match self.geometry.held {
                    Some(_) => part!("shared/column_held.wgsl"),
                    None => part!("shared/column_streamed.wgsl"),
                },
            ]),
            Meeting::Subgroup => parts.push(part!("shared/reduce_subgroup.wgsl")),
            Meeting::Workgroup => parts.push(part!("shared/reduce_workgroup.wgsl")),
            Meeting::Tile => {
                parts.extend([part!("shared/tile.wgsl"), part!("shared/reduce_tile.wgsl")]);
            }
            Meeting::WorkgroupBySubgroups { .. } => {
                parts.push(part!("shared/reduce_workgroup_by_subgroups.wgsl"));
            }
        }
        if self.shuffles() {
            parts.push(part!("shared/shuffled_sums.wgsl"));
        }
        if !self.geometry.meeting.is_alone() {
            parts.push(part!("shared/row_statistics.wgsl"));
            if self.entry.role == Role::Write {
                parts.push(part!("shared/joined_partials.wgsl"));
            }
        }
        if self.entry.role != Role::Whole {
            parts.push(part!("shared/partial_statistics.wgsl"));
        }
        let needs_logarithm = self.entry.role == Role::Statistics && Sums::of(self.op) == Sums::Loss;
        if needs_logarithm {
            parts.extend([part!("shared/logarithm.wgsl"), part!("shared/log_of_sum.wgsl")]);
        }
        parts
    }

    /// What is done with a row whose statistics are known.
    fn operation(&self) -> Vec<&'static str> {
        let probability = part!("shared/probability.wgsl");
        let logarithm = part!("shared/logarithm.wgsl");
        let of_sum = part!("shared/log_of_sum.wgsl");
        let weighted = part!("shared/weighted_logarithm.wgsl");
        let mut parts = match self.op {
            Op::Softmax => vec![probability, part!("ops/softmax.wgsl")],
            Op::LogSoftmax => vec![logarithm, of_sum, part!("ops/log_softmax.wgsl")],
            Op::LogSumExp => vec![logarithm, of_sum, part!("ops/log_sum_exp.wgsl")],
            Op::Jacobian => vec![probability, part!("ops/jacobian.wgsl")],
            Op::LogSoftmaxJacobian => vec![probability, part!("ops/log_softmax_jacobian.wgsl")],
            Op::Vjp | Op::Jvp => vec![probability, part!("ops/vjp.wgsl")],
            Op::LogSoftmaxVjp => vec![probability, part!("ops/log_softmax_vjp.wgsl")],
            Op::LogSoftmaxJvp => vec![probability, part!("ops/log_softmax_jvp.wgsl")],
            Op::WeightedLogSumExp => vec![logarithm, weighted, part!("ops/weighted_log_sum_exp.wgsl")],
            Op::SignedLogSumExp => vec![logarithm, weighted, part!("ops/signed_log_sum_exp.wgsl")],
            Op::CrossEntropy | Op::CrossEntropyGradient => {
                vec![probability, logarithm, of_sum, part!("ops/cross_entropy.wgsl")]
            }
        };
        if self.op.is_loss() {
            parts.push(match self.tallied {
                true => part!("shared/factors_tallied.wgsl"),
                false => part!("shared/factors_given.wgsl"),
            });
        }
        parts.push(match self.row_values {
            true => part!("shared/row_values.wgsl"),
            false => part!("shared/no_row_values.wgsl"),
        });
        match self.op.output() {
            Output::PerElement if self.dtypes.result.bytes() == 2 && !self.quads => {
                parts.push(part!("shared/output_per_element_shared_words.wgsl"));
            }
            Output::PerElement if self.stores_side_by_side() && self.geometry.meeting == Meeting::Tile => {
                parts.push(part!("shared/finished.wgsl"));
            }
            Output::PerElement if self.stores_side_by_side() => parts.extend([
                part!("shared/finished.wgsl"),
                part!("shared/output_per_element_side_by_side.wgsl"),
            ]),
            Output::PerElement => parts.extend([
                part!("shared/finished.wgsl"),
                part!("shared/output_per_element.wgsl"),
                self.quads_as(part!("shared/results_in_quads.wgsl"), part!("shared/results_in_words.wgsl")),
            ]),
            Output::PerRow if self.op.is_loss() => parts.push(part!("shared/output_row_values.wgsl")),
            Output::PerRow => parts.push(part!("shared/output_per_row.wgsl")),
            Output::TwoPerRow => parts.push(part!("shared/output_two_per_row.wgsl")),
            Output::PerPair => parts.extend(self.pairs()),
        }
        if self.geometry.meeting == Meeting::Tile {
            parts.push(match self.stores_side_by_side() {
                true => part!("shared/tile_side_by_side.wgsl"),
                false => part!("shared/tile_by_its_lanes.wgsl"),
            });
        }
        if self.entry.name == subgroup_per_row::ENTRY.name {
            parts.push(match self.stores_side_by_side() {
                true => part!("shared/rows_side_by_side.wgsl"),
                false => part!("shared/rows_by_their_lanes.wgsl"),
            });
        }
        parts
    }

    /// How a block of a Jacobian is written.
    fn pairs(&self) -> Vec<&'static str> {
        match self.pairs {
            Pairs::ByColumns => {
                vec![self.quads_as(part!("shared/pairs_in_quads.wgsl"), part!("shared/pairs_in_words.wgsl"))]
            }
            Pairs::Flat { quads, .. } => vec![
                part!("shared/classes_kept.wgsl"),
                match (quads, self.dtypes.result.bytes()) {
                    (true, _) => part!("shared/pairs_in_flat_quads.wgsl"),
                    (false, 2) => part!("shared/pairs_in_flat_shared_words.wgsl"),
                    (false, _) => part!("shared/pairs_in_flat_words.wgsl"),
                },
            ],
        }
    }

    /// Whether the lanes of a workgroup store the results of rows that do not lie at quads side by side: not where a
    /// word is two results, nor over logits.
    fn stores_side_by_side(&self) -> bool {
        let words = self.dtypes.result.bytes() == 4 && self.op.output() == Output::PerElement;
        let meet = self.entry.role != Role::Statistics && !self.geometry.meeting.is_alone();
        self.side_by_side && words && meet && !self.quads && !self.in_place
    }

    /// The values of the shader's `override` constants.
    pub(crate) fn constants(&self) -> Vec<(&'static str, f64)> {
        if self.entry.role.stands_alone() {
            let mut constants = vec![("WORKGROUP", f64::from(self.geometry.workgroup))];
            if self.entry.role == Role::Shuffles {
                constants.push(("LANES", f64::from(self.geometry.lanes)));
            }
            return constants;
        }
        let mut constants = vec![
            ("WORKGROUP", f64::from(self.geometry.workgroup)),
            ("LANES", f64::from(self.geometry.lanes)),
        ];
        if let Meeting::WorkgroupBySubgroups { shuffled } = self.geometry.meeting {
            constants.push(("SHUFFLED", f64::from(shuffled)));
            constants.push(("MEETING", f64::from(self.geometry.lanes / shuffled)));
        }
        if let Pairs::Flat { kept, .. } = self.pairs {
            constants.push(("KEPT", f64::from(kept)));
        }
        constants
    }

    /// A name that tells the shader's text apart from every other one.
    pub(crate) fn name(&self) -> String {
        let mut name = self.entry.name.to_string();
        match self.entry.role {
            Role::Labels if self.class_weights => return format!("{name}.class_weights"),
            Role::Labels | Role::RowValues => return name,
            role if role.stands_alone() => return name,
            Role::Check | Role::Copy | Role::Fill | Role::Load | Role::Shuffles => {}
            Role::Statistics => name.extend(Sums::of(self.op).name().map(|sums| format!(".{sums}"))),
            // The Jacobian of softmax is symmetric: one text for both products with it.
            Role::Whole | Role::Write if self.op == Op::Jvp => name = format!("{name}.{}", Op::Vjp),
            Role::Whole | Role::Write => name = format!("{name}.{}", self.op),
        }
        let Dtypes { logits, result, operand } = self.dtypes;
        name = format!("{name}.{logits}");
        let held = self.geometry.held;
        let adjusted = self.adjusted.unwrap_or_default();
        let writes = self.entry.role != Role::Statistics;
        let variants = [
            (
                operand.is_some_and(|operand| operand != logits || self.op.is_loss()),
                operand.map(|operand| format!("with_{operand}")),
            ),
            (result != logits, Some(format!("to_{result}"))),
            (self.adjusted.is_some(), Some("adjusted".to_string())),
            (adjusted.mask, Some("mask".to_string())),
            (adjusted.additive_mask, Some("additive_mask".to_string())),
            (adjusted.by_digits, Some("by_digits".to_string())),
            (adjusted.per_row, Some("per_row".to_string())),
            (self.class_weights, Some("class_weights".to_string())),
            (self.op.is_loss() && !self.row_values && writes, Some("gradient_alone".to_string())),
            (self.tallied && self.entry.role != Role::Statistics, Some("tallied".to_string())),
            (self.given == Given::Probabilities, Some("given".to_string())),
            (self.precision == Precision::Fast, Some("fast".to_string())),
            (self.hide_intermediates && self.precision == Precision::Accurate, Some("hidden".to_string())),
            (self.in_place, Some("in_place".to_string())),
            (self.quads, Some("quads".to_string())),
            (self.stores_side_by_side(), Some("side_by_side".to_string())),
            (matches!(self.pairs, Pairs::Flat { quads: false, .. }), Some("flat".to_string())),
            (matches!(self.pairs, Pairs::Flat { quads: true, .. }), Some("flat_quads".to_string())),
            (true, held.map(|held| format!("held_{held}"))),
            (self.geometry.meeting == Meeting::Workgroup, Some("workgroup_memory".to_string())),
            (self.geometry.meeting == Meeting::AloneAsInTile, Some("as_in_tile".to_string())),
            (
                self.geometry.meeting == Meeting::Subgroup && self.entry.name != subgroup_per_row::ENTRY.name,
                Some("subgroup_shuffles".to_string()),
            ),
            (
                matches!(self.geometry.meeting, Meeting::WorkgroupBySubgroups { .. }),
                Some("shuffles".to_string()),
            ),
        ];
        for variant in variants.into_iter().filter_map(|(applies, variant)| variant.filter(|_| applies)) {
            name = format!("{name}.{variant}");
        }
        name
    }

    fn shuffles(&self) -> bool {
        matches!(self.geometry.meeting, Meeting::Subgroup | Meeting::WorkgroupBySubgroups { .. })
    }
}

/// A shader as a driver gets it.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct ShaderText {
    /// Kernel, operation, dtype and variant, separated by dots.
    pub name: String,
    /// The entry point.
    pub entry_point: &'static str,
    /// The module, in WGSL. Workgroup and lane counts are `override` constants.
    pub source: String,
    /// Values of the `override` constants, as one kind of device gets them; others get other numbers of lanes.
    pub constants: Vec<(&'static str, f64)>,
}

/// The shaders that this crate gives to a driver, whatever the device: for reading, for other compilers,
/// for use elsewhere.
///
/// Every kernel with every operation: with each number of quads that a lane may hold in the plain form, and with one
/// such number in all other variants (masks, dtypes and their mixtures, precision, in place, loads and stores of
/// whole quads).
///
/// ```
/// use wgpu_softmax::{Dialect, shaders};
/// let all = shaders(Dialect::Native);
/// assert!(all.iter().any(|shader| shader.name == "workgroup_per_row.softmax.f32.held_2.shuffles"));
/// ```
pub fn shaders(dialect: Dialect) -> Vec<ShaderText> {
    let mut texts = Vec::new();
    let mut names = std::collections::HashSet::new();
    for shader in every_shader() {
        let name = shader.name();
        if names.insert(name.clone()) {
            let (source, constants) = (shader.source(dialect), shader.constants());
            texts.push(ShaderText { name, entry_point: shader.entry.name, source, constants });
        }
    }
    texts
}

/// Every kernel, operation and geometry, in the variants that make sense.
fn every_shader() -> Vec<Shader> {
    let mut shaders = Vec::new();
    let ops = Op::ALL.into_iter().chain([Op::CrossEntropy, Op::CrossEntropyGradient]);
    for (entry, op) in
        crate::kernels::ENTRIES.into_iter().flat_map(|entry| ops.clone().map(move |op| (entry, op)))
    {
        let pairs = op.output() == Output::PerPair;
        let pointless = match entry.role {
            Role::Check | Role::Shuffles | Role::Copy | Role::Fill | Role::Load => op != Op::Softmax,
            Role::Labels | Role::RowValues => op != Op::CrossEntropy,
            Role::Statistics => pairs,
            Role::Whole | Role::Write => pairs != (entry.name == crate::kernels::jacobian::ENTRY.name),
        };
        if pointless {
            continue;
        }
        for geometry in crate::kernels::geometries(entry) {
            let plain = Shader {
                entry,
                op,
                dtypes: Dtypes::same(op, Dtype::F32),
                precision: Precision::Accurate,
                given: Given::Logits,
                geometry,
                in_place: false,
                quads: false,
                side_by_side: false,
                pairs: Pairs::ByColumns,
                adjusted: None,
                class_weights: false,
                row_values: op.is_loss(),
                tallied: false,
                hide_intermediates: false,
            };
            // How many quads are held is one line of the text, and how lanes meet one part: one of each
            // stands for all.
            let stands_for_all = matches!(
                (geometry.held, geometry.meeting),
                (Some(2), Meeting::Subgroup | Meeting::Workgroup | Meeting::Tile)
                    | (None, Meeting::Alone | Meeting::Tile | Meeting::WorkgroupBySubgroups { .. })
            );
            let weighted = Sums::of(op) == Sums::Weighted;
            match stands_for_all {
                true => shaders.extend(variants(&plain)),
                false => shaders.push(Shader { adjusted: weighted.then(Adjusted::default), ..plain }),
            }
        }
    }
    shaders
}

/// A shader of f32, and what else it comes as: each way in which it may differ, and pairs of those that meet
/// in one line of the text.
fn variants(plain: &Shader) -> Vec<Shader> {
    let role = plain.entry.role;
    let mut inputs = vec![*plain];
    if plain.op.is_loss() && role != Role::RowValues {
        inputs.push(Shader { class_weights: true, ..*plain });
    }
    if matches!(role, Role::Labels | Role::RowValues) || role.stands_alone() {
        return inputs;
    }
    if role == Role::Check {
        inputs.push(Shader { hide_intermediates: true, ..*plain });
        return inputs;
    }
    if plain.op.is_loss() {
        let probabilities = Dtypes { operand: Some(Dtype::F32), ..plain.dtypes };
        inputs.push(Shader { dtypes: probabilities, ..*plain });
        inputs.push(Shader { tallied: true, ..*plain });
    }
    if plain.op == Op::CrossEntropyGradient {
        inputs.push(Shader { row_values: false, ..*plain });
    }
    if Op::PRODUCTS.contains(&plain.op) {
        inputs.push(Shader { given: Given::Probabilities, ..*plain });
    }

    let mut variants = inputs.clone();
    variants.push(Shader { precision: Precision::Fast, ..*plain });
    variants.push(Shader { hide_intermediates: true, ..*plain });
    let none = Adjusted::default();
    let adjustments = [
        none,
        Adjusted { mask: true, ..none },
        Adjusted { additive_mask: true, ..none },
        Adjusted { mask: true, additive_mask: true, by_digits: true, ..none },
        Adjusted { per_row: true, ..none },
    ];
    variants.extend(adjustments.map(|adjusted| Shader { adjusted: Some(adjusted), ..*plain }));
    for shader in &inputs {
        let all = Adjusted { mask: true, additive_mask: true, by_digits: false, per_row: true };
        let adjusted = Shader { adjusted: Some(all), ..*shader };
        let in_place = Shader { in_place: true, ..*shader };
        let can_be_in_place = shader.op.output() == Output::PerElement;
        if shader.given == Given::Logits {
            variants.push(adjusted);
        }
        if can_be_in_place {
            variants.push(in_place);
        }
        for dtype in [Dtype::F16, Dtype::Bf16] {
            let operand = shader.dtypes.operand.map(|_| dtype);
            let same = Dtypes { logits: dtype, result: dtype, operand };
            let mut of = |shader: &Shader, dtypes| variants.push(Shader { dtypes, ..*shader });
            of(shader, same);
            of(shader, Dtypes { logits: dtype, ..shader.dtypes });
            of(shader, Dtypes { result: dtype, ..shader.dtypes });
            if operand.is_some() {
                of(shader, Dtypes { operand, ..shader.dtypes });
            }
            if shader.given == Given::Logits {
                of(&adjusted, same);
            }
            if can_be_in_place {
                of(&in_place, same);
            }
        }
    }
    if plain.op.output() == Output::PerPair {
        let flat = variants.iter().flat_map(|shader| {
            [false, true].map(|quads| Shader { pairs: Pairs::Flat { kept: 32, quads }, ..*shader })
        });
        let flat: Vec<_> = flat.collect();
        variants.extend(flat);
    }
    // What is loaded as a whole meets dtypes, masks and results, and is all the same to everything else.
    if plain.entry.name.contains("row") || plain.entry.name == crate::kernels::jacobian::ENTRY.name {
        let quads = variants.iter().filter(|shader| {
            let Dtypes { logits, result, operand } = shader.dtypes;
            let mixed_with_operand = operand.is_some_and(|operand| operand != logits || operand != result);
            let plainly = shader.precision == Precision::Accurate && !shader.hide_intermediates;
            let by_columns = shader.pairs == Pairs::ByColumns;
            plainly && by_columns && !mixed_with_operand && !shader.tallied && !shader.class_weights
        });
        variants.extend(quads.map(|shader| Shader { quads: true, ..*shader }).collect::<Vec<_>>());
    }
    let side_by_side = variants.iter().map(|shader| Shader { side_by_side: true, ..*shader });
    variants.extend(side_by_side.filter(Shader::stores_side_by_side).collect::<Vec<_>>());
    if Sums::of(plain.op) == Sums::Weighted {
        // A weight of 0 masks its class.
        variants.retain(|shader| shader.adjusted.is_some());
    }
    variants
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_stands_for_one_text() {
        let mut sources = std::collections::HashMap::new();
        for shader in every_shader() {
            let source = shader.source(Dialect::Native);
            assert_eq!(
                sources.entry(shader.name()).or_insert_with(|| source.clone()),
                &source,
                "{}",
                shader.name()
            );
        }
        println!("{} shaders", sources.len());
        let mut names = std::collections::HashMap::new();
        for (name, source) in &sources {
            let other = names.insert(source, name);
            assert!(other.is_none(), "{name} and {other:?} are one text");
        }
    }

    #[test]
    fn only_the_browsers_text_enables_extensions() {
        for shader in every_shader() {
            assert!(!shader.source(Dialect::Native).contains("enable "));
            assert_eq!(shader.source(Dialect::Browser).starts_with("enable subgroups;"), shader.shuffles());
        }
    }
}
