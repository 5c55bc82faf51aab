//! Which kernel was measured fastest on an adapter: a table that plans go by where they are asked to.
//!
//! A table holds what was measured, never what must be: a plan takes an entry only where the kernel can serve the row on
//! the device at hand, and says why where it does not. Entries go by the length of the row, what is left of it and its
//! type, as the plan's own choice does: a row's bits stay the same alone and in a batch of a million.
//!
//! Measuring is the program's (`wgpu-softmax tune`); this is the table, its text and what may be measured.

use std::fmt;
use std::ops::RangeInclusive;
use std::str::FromStr;
use std::sync::Arc;

use crate::kernels::{
    Geometry, Kernel, LANES_WITHOUT_SUBGROUPS, MOST_HELD, QUAD, tile_of_columns, workgroup_per_row,
};
use crate::{Capabilities, Dtype, Error, Op, Options, Output, Plan, Result, Rows};

/// What a text starts with. The number is raised where older tables no longer speak of the same kernels.
const HEADING: &str = "wgpu-softmax tuning 1";

/// The word for the plan's own choice.
const BUILT_IN: &str = "built-in";

/// What is left of a row: the two kinds that are measured apart.
const VALUES: [(Output, &str); 2] = [(Output::PerElement, "per-element"), (Output::PerRow, "per-row")];

/// An adapter with its driver, as far as measurements on one hold for another.
///
/// ```
/// use wgpu_softmax::{AdapterKey, wgpu};
/// let mut info = wgpu::AdapterInfo::new(wgpu::DeviceType::Cpu, wgpu::Backend::Vulkan);
/// info.name = "llvmpipe".into();
/// assert_eq!(AdapterKey::of(&info).to_string(), "llvmpipe (software, vulkan)");
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct AdapterKey {
    /// Its name.
    pub name: String,
    /// The graphics interface, as wgpu spells it.
    pub backend: String,
    /// `discrete`, `integrated`, `virtual`, `software` or `unknown`.
    pub kind: String,
    /// The driver's name and version; empty where wgpu knows neither.
    pub driver: String,
}

impl AdapterKey {
    /// The key of what wgpu tells of an adapter; each part on one line, with single spaces.
    pub fn of(info: &wgpu::AdapterInfo) -> Self {
        let kind = match info.device_type {
            wgpu::DeviceType::DiscreteGpu => "discrete",
            wgpu::DeviceType::IntegratedGpu => "integrated",
            wgpu::DeviceType::VirtualGpu => "virtual",
            wgpu::DeviceType::Cpu => "software",
            wgpu::DeviceType::Other => "unknown",
        };
        AdapterKey {
            name: on_one_line(&info.name),
            backend: info.backend.to_str().to_string(),
            kind: kind.to_string(),
            driver: on_one_line(&[&*info.driver, &*info.driver_info].join(" ")),
        }
    }

    fn parts(&self) -> [(&'static str, &str); 4] {
        let AdapterKey { name, backend, kind, driver } = self;
        [("name", name), ("backend", backend), ("kind", kind), ("driver", driver)]
    }
}

impl fmt::Display for AdapterKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let AdapterKey { name, backend, kind, driver } = self;
        write!(f, "{name} ({kind}, {backend}")?;
        if !driver.is_empty() {
            write!(f, ", {driver}")?;
        }
        f.write_str(")")
    }
}

/// A way to lay rows on the machine that may be measured against others.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Candidate {
    /// What the plan chooses by itself.
    BuiltIn,
    /// A kernel, and how many lanes share a row, or a chunk of one.
    Kernel {
        /// The kernel.
        kernel: Kernel,
        /// Invocations for a row: a power of two.
        lanes: u32,
    },
}

impl fmt::Display for Candidate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Candidate::BuiltIn => f.write_str(BUILT_IN),
            Candidate::Kernel { kernel, lanes } => write!(f, "{kernel}, {lanes} lane(s) a row"),
        }
    }
}

/// What was measured fastest on an adapter, for every span of row lengths, what is left of a row, and the type of the
/// logits.
///
/// Plans look into a table where [`Options::tuned`] asks for it, and where [`Gpu::with_tuning`](crate::Gpu::with_tuning)
/// or [`Capabilities::tuning`] has one. They take nothing from a table of another adapter, driver or backend, and no
/// kernel that cannot serve: they say so ([`Plan::why`]), and choose for themselves. What is chosen differs in the last
/// bits of its results, within the same [bounds](crate#accuracy).
///
/// Spans end at powers of two: rows of 513 to 1024 classes are one of them. Columns (an axis that is not the last),
/// Jacobians and rows of more than 2²⁰ classes are not measured.
///
/// A table is a text of a line for each entry; writing it out and reading it in again gives the same table.
///
/// ```
/// use wgpu_softmax::{AdapterKey, Candidate, Dtype, Kernel, Output, Tuning, wgpu};
/// let adapter = AdapterKey::of(&wgpu::AdapterInfo::new(wgpu::DeviceType::Cpu, wgpu::Backend::Vulkan));
/// let mut table = Tuning::new(adapter);
/// let measured = Candidate::Kernel { kernel: Kernel::WorkgroupPerRow, lanes: 128 };
/// table.set(Output::PerElement, Dtype::F32, 1000, measured);
/// assert_eq!(table.get(Output::PerElement, Dtype::F32, 513), Some(measured));
/// assert_eq!(table.to_string().parse::<Tuning>()?, table);
/// # Ok::<(), wgpu_softmax::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Tuning {
    adapter: AdapterKey,
    /// In the order in which they are written.
    entries: Vec<Entry>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct Entry {
    /// One of [`VALUES`].
    values: Output,
    dtype: Dtype,
    /// The longest row of the span.
    longest: u64,
    fastest: Candidate,
}

impl Entry {
    fn order(&self) -> (usize, usize, u64) {
        let values = VALUES.iter().position(|(values, _)| *values == self.values);
        let dtype = Dtype::ALL.iter().position(|dtype| *dtype == self.dtype);
        (values.unwrap_or(VALUES.len()), dtype.unwrap_or(Dtype::ALL.len()), self.longest)
    }
}

impl Tuning {
    /// The longest row that is measured, in classes.
    pub const LONGEST: u64 = 1 << 20;

    /// A table without entries, for an adapter.
    pub fn new(adapter: AdapterKey) -> Self {
        Tuning { adapter, entries: Vec::new() }
    }

    /// What it was measured on.
    pub fn adapter(&self) -> &AdapterKey {
        &self.adapter
    }

    /// The lengths of rows that share an entry with rows of so many classes; `None` for rows without classes and for
    /// those longer than [`Tuning::LONGEST`].
    pub fn span(classes: u64) -> Option<RangeInclusive<u64>> {
        let longest = classes.checked_next_power_of_two()?;
        (1..=Tuning::LONGEST).contains(&classes).then_some(longest / 2 + 1..=longest)
    }

    /// Notes what is fastest for rows of so many classes and their whole span, in place of what was noted before.
    ///
    /// Whether there is such an entry: not for Jacobians ([`Output::PerPair`]), for f64, and for rows without a
    /// [span](Tuning::span).
    pub fn set(&mut self, output: Output, dtype: Dtype, classes: u64, fastest: Candidate) -> bool {
        let (Some(values), Some(span)) = (values_of(output), Tuning::span(classes)) else { return false };
        if !Dtype::ON_GPU.contains(&dtype) {
            return false;
        }
        let entry = Entry { values, dtype, longest: *span.end(), fastest };
        match self.entries.binary_search_by_key(&entry.order(), Entry::order) {
            Ok(place) => self.entries[place] = entry,
            Err(place) => self.entries.insert(place, entry),
        }
        true
    }

    /// What was measured fastest for rows of so many classes.
    pub fn get(&self, output: Output, dtype: Dtype, classes: u64) -> Option<Candidate> {
        let (values, span) = (values_of(output)?, Tuning::span(classes)?);
        let sought = Entry { values, dtype, longest: *span.end(), fastest: Candidate::BuiltIn };
        let place = self.entries.binary_search_by_key(&sought.order(), Entry::order).ok()?;
        Some(self.entries[place].fastest)
    }

    /// Everything that `device` could do for the whole span of rows of so many classes, no two of them alike; the plan's
    /// own choice comes first. Empty where nothing is to be measured: see [`Tuning::set`].
    ///
    /// What is hopeless is left out: lanes that most rows of the span would leave idle, or that would read many times
    /// over what others hold in registers.
    pub fn candidates(op: Op, dtype: Dtype, classes: u64, device: &Capabilities) -> Vec<Candidate> {
        let Some(span) = Tuning::span(classes) else { return Vec::new() };
        let planned = |candidate| planned(op, dtype, &span, device, candidate);
        let Some(built_in) = planned(Candidate::BuiltIn) else { return Vec::new() };
        let mut kept = vec![Candidate::BuiltIn];
        let mut layouts = vec![built_in];
        for candidate in conceivable(op, dtype, *span.end(), device) {
            if let Some(layout) = planned(candidate)
                && !layouts.contains(&layout)
            {
                kept.push(candidate);
                layouts.push(layout);
            }
        }
        kept
    }

    /// What a plan takes from a device's table, or why it takes nothing.
    pub(crate) fn taken(
        output: Output,
        dtype: Dtype,
        classes: u64,
        device: &Capabilities,
    ) -> Result<Candidate, String> {
        let Some(table) = &device.tuning else { return Err("there is no table for this device".into()) };
        table.check(device.adapter.as_ref())?;
        let found = table.get(output, dtype, classes);
        found.ok_or_else(|| format!("the table has nothing for rows of {classes} classes in {dtype}"))
    }

    /// Whether it was measured on this adapter, with this driver, by way of this backend.
    fn check(&self, adapter: Option<&AdapterKey>) -> Result<(), String> {
        match adapter {
            Some(adapter) if *adapter == self.adapter => Ok(()),
            Some(adapter) => {
                Err(format!("the table was measured on {}, and this is {adapter}", self.adapter))
            }
            None => Err(format!("the table was measured on {}, and this is no adapter", self.adapter)),
        }
    }
}

/// The kind of entry for what is left of a row.
fn values_of(output: Output) -> Option<Output> {
    match output {
        Output::PerElement => Some(Output::PerElement),
        Output::PerRow | Output::TwoPerRow => Some(Output::PerRow),
        Output::PerPair => None,
    }
}

/// What may be worth measuring for rows of at most so many classes.
fn conceivable(op: Op, dtype: Dtype, longest: u64, device: &Capabilities) -> Vec<Candidate> {
    // Neither lanes that have nothing to do nor, while more of them are to be had, such as have far more than registers
    // hold.
    let lanes = |least: u32, most: u32| {
        let powers =
            (0..u32::BITS).map(|log| 1u32 << log).filter(move |lanes| (least..=most).contains(lanes));
        powers.filter(move |&lanes| {
            let each = longest.div_ceil(u64::from(lanes));
            u64::from(lanes) <= longest.div_ceil(QUAD) && (each <= 2 * MOST_HELD || lanes > most / 2)
        })
    };
    let alone = (longest <= 4 * MOST_HELD).then_some(1);
    let in_subgroup = lanes(1, device.subgroup_lanes.unwrap_or(0));
    let most =
        if device.subgroup_lanes.is_some() { workgroup_per_row::MOST_LANES } else { LANES_WITHOUT_SUBGROUPS };
    let in_workgroup = lanes(32, most.min(device.max_invocations));
    let in_tile = lanes(1, tile_of_columns::MOST_LANES)
        .filter(|&lanes| !device.software && u64::from(lanes) * MOST_HELD >= longest);
    let of = |kernel: Kernel| move |lanes: u32| Candidate::Kernel { kernel, lanes };
    (alone.into_iter().map(of(Kernel::LanePerColumn)))
        .chain(in_tile.map(of(Kernel::TileOfColumns)))
        .chain(in_subgroup.map(of(Kernel::SubgroupPerRow)))
        .chain(in_workgroup.map(of(Kernel::WorkgroupPerRow)))
        .chain(split(op, dtype, longest, device).into_iter().map(of(Kernel::SplitRow)))
        .collect()
}

/// The lanes that a split row has for each chunk, where rows are long enough for that.
fn split(op: Op, dtype: Dtype, longest: u64, device: &Capabilities) -> Option<u32> {
    const SHORTEST: u64 = 4096;
    let rows = Rows::batch(1, longest).ok().filter(|_| longest >= SHORTEST)?;
    let plan = Plan::new(op, dtype, &rows, &Options::default().kernel(Kernel::SplitRow), device).ok()?;
    plan.stages.first().map(|stage| stage.geometry.lanes)
}

/// How the shortest row of a span, the longest and one in between would be laid out; `None` where one cannot be.
fn planned(
    op: Op,
    dtype: Dtype,
    span: &RangeInclusive<u64>,
    device: &Capabilities,
    candidate: Candidate,
) -> Option<Vec<(Kernel, Vec<Geometry>)>> {
    let adapter = AdapterKey::of(&wgpu::AdapterInfo::new(wgpu::DeviceType::Other, wgpu::Backend::Noop));
    let mut table = Tuning::new(adapter.clone());
    if !table.set(op.output(), dtype, *span.end(), candidate) {
        return None;
    }
    let device = Capabilities { adapter: Some(adapter), tuning: Some(Arc::new(table)), ..device.clone() };
    let lengths = [*span.start(), (span.start() + span.end()) / 2, *span.end()];
    let plan = |classes| {
        let rows = Rows::batch(1, classes).ok()?;
        let plan = Plan::new(op, dtype, &rows, &Options::default().tuned(true), &device).ok()?;
        let geometries = plan.stages.iter().map(|stage| stage.geometry).collect();
        plan.is_tuned().then(|| (plan.kernel(), geometries))
    };
    lengths.into_iter().map(plan).collect()
}

fn on_one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

impl fmt::Display for Tuning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{HEADING}")?;
        for (name, value) in self.adapter.parts() {
            writeln!(f, "{}", format!("{name:<8} {}", on_one_line(value)).trim_end())?;
        }
        writeln!(f, "\n# values      dtype  longest row  fastest            lanes")?;
        for Entry { values, dtype, longest, fastest } in &self.entries {
            let values = VALUES.iter().find(|(known, _)| known == values).map_or("", |(_, name)| name);
            write!(f, "{values:<13} {:<6} {longest:<12} ", dtype.name())?;
            match fastest {
                Candidate::BuiltIn => writeln!(f, "{BUILT_IN}")?,
                Candidate::Kernel { kernel, lanes } => writeln!(f, "{:<18} {lanes}", kernel.name())?,
            }
        }
        Ok(())
    }
}

impl FromStr for Tuning {
    type Err = Error;

    /// Reads what [`Display`](fmt::Display) writes; empty lines and those that start with `#` mean nothing.
    ///
    /// # Errors
    /// [`Error::TuningUnreadable`] with the first line that is not understood, or of another version.
    fn from_str(text: &str) -> Result<Self> {
        let mut lines = (1..).zip(text.lines());
        let unreadable = |line: usize, why: &str| Error::TuningUnreadable { line, why: why.into() };
        match lines.next() {
            Some((_, heading)) if heading.trim_end() == HEADING => {}
            _ => return Err(unreadable(1, &format!("a table of this version starts with {HEADING:?}"))),
        }
        let mut lines = lines
            .map(|(number, line)| (number, line.trim()))
            .filter(|(_, line)| !line.is_empty() && !line.starts_with('#'));
        let mut part = |name: &str| {
            let (number, line) = lines.next().unwrap_or((text.lines().count() + 1, ""));
            match line.strip_prefix(name) {
                Some(value) if value.is_empty() || value.starts_with(' ') => Ok(value.trim().to_string()),
                _ => Err(unreadable(number, &format!("the adapter's {name} should stand here"))),
            }
        };
        let adapter = AdapterKey {
            name: part("name")?,
            backend: part("backend")?,
            kind: part("kind")?,
            driver: part("driver")?,
        };
        let mut table = Tuning::new(adapter);
        for (number, line) in lines {
            let words: Vec<&str> = line.split_whitespace().collect();
            let entry = entry(&words).map_err(|why| unreadable(number, &why))?;
            if table.get(entry.values, entry.dtype, entry.longest).is_some() {
                return Err(unreadable(number, "these rows have an entry already"));
            }
            if !table.set(entry.values, entry.dtype, entry.longest, entry.fastest) {
                return Err(unreadable(number, "such rows are not measured"));
            }
        }
        Ok(table)
    }
}

/// The entry that the words of a line stand for.
fn entry(words: &[&str]) -> Result<Entry, String> {
    let [values, dtype, longest, fastest, lanes @ ..] = words else {
        return Err("an entry is values, dtype, longest row, kernel and lanes".into());
    };
    let known =
        |found: Option<_>, what: &str, word: &str| found.ok_or_else(|| format!("no {what} is {word:?}"));
    let values = known(VALUES.iter().position(|(_, name)| name == values), "kind of values", values)?;
    let dtype = Dtype::ON_GPU.into_iter().position(|known| known.name() == *dtype);
    let dtype = known(dtype, "type of a GPU's logits", words[1])?;
    let is_end = |longest: &u64| Tuning::span(*longest).is_some_and(|span| span.end() == longest);
    let longest = longest.parse().ok().filter(is_end);
    let longest =
        longest.ok_or_else(|| format!("no span of lengths ends with {:?}: give a power of two", words[2]))?;
    let fastest = match (*fastest, lanes) {
        (BUILT_IN, []) => Candidate::BuiltIn,
        (name, [lanes]) => {
            let kernel = Kernel::ROW_WISE.into_iter().find(|kernel| kernel.name() == name);
            let kernel = kernel.ok_or_else(|| format!("no kernel is called {name:?}"))?;
            let lanes = lanes.parse().map_err(|_| format!("{lanes:?} is no number of lanes"))?;
            Candidate::Kernel { kernel, lanes }
        }
        _ => return Err(format!("a kernel and its lanes, or {BUILT_IN}, should stand at the end")),
    };
    Ok(Entry { values: VALUES[values].0, dtype: Dtype::ON_GPU[dtype], longest, fastest })
}
