//! `shaders`: every WGSL module, as text, in a folder.

use std::fs;

use wgpu_softmax::Dialect;

use crate::args::Shaders;
use crate::failure::{Failure, Outcome};
use crate::output::{Destination, note, shown};

/// Writes one file per module, named by kernel, operation, dtype and variant.
pub fn run(asked: &Shaders) -> Outcome {
    let folder = &asked.output;
    fs::create_dir_all(folder)
        .map_err(|error| Failure::Output(format!("cannot make the folder {}: {error}", shown(folder))))?;
    let dialect = if asked.browser { Dialect::Browser } else { Dialect::Native };
    let texts = wgpu_softmax::shaders(dialect);
    for text in &texts {
        let file = Destination::of(&folder.join(format!("{}.wgsl", text.name)))?;
        file.write(|writer| writer.write_all(text.source.as_bytes()))?;
    }
    let reader = if asked.browser { "a browser" } else { "a native driver" };
    note(&format!("wrote {} modules, as {reader} gets them, to {}", texts.len(), shown(folder)));
    Ok(())
}
