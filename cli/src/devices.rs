//! `devices`: what there is to compute on.

use std::fmt::Write;

use serde::Serialize;
use wgpu_softmax::{AdapterKey, Capabilities, Cpu, Device, Dtype, Gpu};

use crate::args::{Devices, Patience};
use crate::device::{self, Identity};
use crate::failure::Outcome;
use crate::output::print;
use crate::report;

#[derive(Debug, Serialize)]
struct Found {
    /// In the order in which `--device gpu` prefers them.
    adapters: Vec<Adapter>,
    cpu: String,
    /// What `--device auto` takes for f32.
    auto: Identity,
}

#[derive(Debug, Serialize)]
struct Adapter {
    name: String,
    kind: String,
    backend: String,
    driver: String,
    /// What is amiss with it, and what is done about that.
    #[serde(skip_serializing_if = "Option::is_none")]
    note: Option<String>,
}

impl Adapter {
    fn new(info: &wgpu_softmax::wgpu::AdapterInfo, patience: Patience) -> Adapter {
        let opened = Device::Named(info.name.clone()).open_within_blocking(patience.timeout);
        let AdapterKey { name, kind, backend, driver, .. } = AdapterKey::of(info);
        let note = match &opened {
            Ok(engine) => engine.gpu().and_then(|gpu| note(gpu.capabilities())),
            Err(error) => Some(format!("it cannot be used: {error}")),
        };
        Adapter { name, kind, backend, driver, note }
    }
}

/// What is to be known of a device that was opened.
fn note(capabilities: &Capabilities) -> Option<String> {
    let lie =
        "its subgroup operations give wrong answers and are not used: results are right, kernels slower";
    capabilities.subgroups_lie.then(|| lie.to_string())
}

/// Lists the adapters and the CPU.
pub fn run(asked: &Devices) -> Outcome {
    let adapters = Gpu::adapters_blocking();
    let adapters = adapters.iter().map(|info| Adapter::new(info, asked.patience)).collect();
    let auto = device::open(&Device::Auto, Dtype::F32, asked.patience.timeout)?.identity;
    let found = Found { adapters, cpu: Cpu::new().name(), auto };
    let text = if asked.json { report::json_line(&found) } else { found.table() };
    print(text.as_bytes())
}

impl Found {
    fn table(&self) -> String {
        let mut text = String::new();
        if self.adapters.is_empty() {
            text.push_str("no GPU adapter: install a Vulkan, Metal or DX12 driver to have one\n");
        } else {
            let mut lines = vec![["adapter", "kind", "backend", "driver"]];
            lines.extend(
                self.adapters
                    .iter()
                    .map(|adapter| [&*adapter.name, &adapter.kind, &adapter.backend, &adapter.driver]),
            );
            let width =
                |column: usize| lines.iter().map(|line| line[column].chars().count()).max().unwrap_or(0);
            let widths = [width(0), width(1), width(2)];
            for [name, kind, backend, driver] in &lines {
                let [a, b, c] = widths;
                let _ = writeln!(text, "{name:<a$}  {kind:<b$}  {backend:<c$}  {driver}");
            }
            for Adapter { name, note, .. } in &self.adapters {
                let _ = note.iter().try_for_each(|note| writeln!(text, "note: {name}: {note}"));
            }
        }
        let gpu = self.adapters.first().map_or("nothing: there is none", |adapter| &adapter.name);
        let _ = write!(
            text,
            "\n--device gpu   takes {gpu}\n--device cpu   takes {}\n--device auto  takes {}\n",
            self.cpu,
            report::device(&self.auto)
        );
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lying_subgroups_are_told_of() {
        let mut capabilities = Capabilities::webgpu_defaults();
        assert_eq!(note(&capabilities), None);
        capabilities.subgroups_lie = true;
        let told = note(&capabilities);
        assert!(told.as_ref().is_some_and(|note| note.contains("subgroup")));
        let identity = || Identity {
            name: "a GPU".into(),
            kind: "gpu",
            backend: None,
            why: "it is the best adapter".into(),
            table: None,
        };
        let [name, kind, backend, driver] = ["a GPU", "discrete", "vulkan", "1"].map(String::from);
        let adapters = vec![Adapter { name, kind, backend, driver, note: told.clone() }];
        let found = Found { adapters, cpu: "a CPU".into(), auto: identity() };
        assert!(found.table().contains(&format!("note: a GPU: {}", told.clone().unwrap_or_default())));
        assert!(report::json_line(&found).contains(&told.unwrap_or_default()));
    }
}
