//! Validators beside each other, kernels one below the other.

use std::fmt;

use naga::FastHashMap;

#[derive(Debug, Clone, Copy, Default)]
pub struct Count {
    pub accepted: usize,
    pub judged: usize,
}

/// In Markdown, as docs/PORTABILITY.md has it.
pub struct Table<'a> {
    entries: Vec<&'a str>,
    columns: Vec<(&'static str, FastHashMap<&'a str, Count>)>,
}

impl<'a> Table<'a> {
    /// A line for each entry point, in the order in which they first come.
    pub fn new(all: impl Iterator<Item = &'a str>) -> Self {
        let mut entries = Vec::new();
        for entry in all {
            if !entries.contains(&entry) {
                entries.push(entry);
            }
        }
        Table { entries, columns: Vec::new() }
    }

    pub fn add(&mut self, validator: &'static str, counts: FastHashMap<&'a str, Count>) {
        self.columns.push((validator, counts));
    }
}

impl fmt::Display for Table<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "| kernel |")?;
        self.columns.iter().try_for_each(|(validator, _)| write!(f, " {validator} |"))?;
        write!(f, "\n| --- |{}", " --- |".repeat(self.columns.len()))?;
        let line = |f: &mut fmt::Formatter<'_>, name: &str, counts: Vec<Count>| {
            write!(f, "\n| {name} |")?;
            counts.into_iter().try_for_each(|count| match count {
                Count { judged: 0, .. } => write!(f, " – |"),
                Count { accepted, judged } => write!(f, " {accepted} of {judged} |"),
            })
        };
        for entry in &self.entries {
            let of =
                |(_, counts): &(_, FastHashMap<&str, Count>)| counts.get(entry).copied().unwrap_or_default();
            line(f, &format!("`{entry}`"), self.columns.iter().map(of).collect())?;
        }
        let sum = |(_, counts): &(_, FastHashMap<&str, Count>)| {
            counts.values().fold(Count::default(), |sum, count| Count {
                accepted: sum.accepted + count.accepted,
                judged: sum.judged + count.judged,
            })
        };
        line(f, "all", self.columns.iter().map(sum).collect())?;
        writeln!(f)
    }
}
