//! `devices`: what there is to compute on.

use std::fmt::Write;

use serde::Serialize;
use wgpu_softmax::{AdapterKey, Cpu, Device, Dtype, Gpu};

use crate::args::Devices;
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
}

/// Lists the adapters and the CPU.
pub fn run(asked: &Devices) -> Outcome {
    let adapters = (Gpu::adapters_blocking().into_iter())
        .map(|info| {
            let AdapterKey { name, kind, backend, driver, .. } = AdapterKey::of(&info);
            Adapter { name, kind, backend, driver }
        })
        .collect();
    let auto = device::open(&Device::Auto, Dtype::F32, device::TIMEOUT)?.identity;
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
