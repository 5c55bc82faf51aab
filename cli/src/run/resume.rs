//! What stands beside an unfinished result, so that a later run can go on with it: what it is a result of, and how far
//! it has come.
//!
//! The record takes its place whole, once the windows that it tells of are on the disk. So a window of which only a
//! part is there is none that is told of, and is computed again.

use std::fs::{self, File, Metadata};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::time::UNIX_EPOCH;

use serde::{Deserialize, Serialize};
use wgpu_softmax::LossSums;

use crate::args::{Computation, Run};
use crate::arrays::Incoming;
use crate::device::Identity;
use crate::failure::{Failure, Outcome};
use crate::output::shown;
use crate::report::Seen;

use super::windows::Position;

/// What a result follows from.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
pub struct Origin {
    program: String,
    options: String,
    device: String,
    inputs: Vec<Known>,
}

/// A file as the system knows it: changed by no program without one of these.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Known {
    name: String,
    bytes: u64,
    /// In nanoseconds.
    written: Option<u128>,
    /// When it or what is known of it was changed, and which file it is; where there is such a thing.
    changed: Option<[i64; 2]>,
    number: Option<u64>,
}

/// How far a result has come.
#[derive(Debug, Default)]
pub struct SoFar {
    pub position: Position,
    pub sums: LossSums,
    pub seen: Vec<Seen>,
}

/// The same on disk.
#[derive(Serialize, Deserialize)]
struct Written {
    origin: Origin,
    row: usize,
    part: usize,
    sums: [u64; 4],
    seen: Vec<Seen>,
}

/// Where all this stands.
pub struct Record {
    path: PathBuf,
    origin: Origin,
}

impl Origin {
    /// What the result of `asked` follows from.
    ///
    /// # Errors
    /// For an input that cannot be read twice.
    pub fn new<'a>(
        asked: &Run,
        device: &Identity,
        inputs: impl IntoIterator<Item = &'a Incoming>,
    ) -> Outcome<Origin> {
        let Run {
            input: _, output, operation, computation, keepdims, multiplying, adjusting, losing, ..
        } = asked;
        // How long a device may take is no part of what comes of it.
        let Computation { axis, dtype, precision, .. } = computation;
        let options = format!(
            "{operation:?} {axis:?} {dtype:?} {precision:?} {keepdims} {multiplying:?} {adjusting:?} {losing:?} {output:?}"
        );
        let known = inputs.into_iter().map(|input| match input.metadata() {
            Some(metadata) => Ok(Known::new(input.name(), metadata)),
            None => Err(Failure::Usage(format!(
                "--resume needs files to read from: {} can be read only once",
                input.name()
            ))),
        });
        let mut known = known.collect::<Outcome<Vec<Known>>>()?;
        if let Some(table) = &device.table
            && let Ok(metadata) = fs::metadata(table)
        {
            known.push(Known::new(table, &metadata));
        }
        Ok(Origin {
            program: env!("CARGO_PKG_VERSION").into(),
            options,
            device: format!("{} {:?}", device.name, device.backend),
            inputs: known,
        })
    }

    /// What of it differs from another.
    fn differs(&self, other: &Origin) -> Option<&'static str> {
        if self.inputs != other.inputs {
            Some("its input has changed since")
        } else if self.options != other.options {
            Some("it is of other options")
        } else if self.device != other.device {
            Some("it was computed on another device")
        } else if self.program != other.program {
            Some("another version of the program has begun it")
        } else {
            None
        }
    }
}

impl Known {
    fn new(name: &str, metadata: &Metadata) -> Known {
        let written = metadata.modified().ok().and_then(|time| time.duration_since(UNIX_EPOCH).ok());
        #[cfg(unix)]
        let (changed, number) = {
            use std::os::unix::fs::MetadataExt;
            (Some([metadata.ctime(), metadata.ctime_nsec()]), Some(metadata.ino()))
        };
        #[cfg(not(unix))]
        let (changed, number) = (None, None);
        Known {
            name: name.into(),
            bytes: metadata.len(),
            written: written.map(|since| since.as_nanos()),
            changed,
            number,
        }
    }
}

impl Record {
    /// The record at `path`, and how far it says that a result of `origin` has come; otherwise why there is nothing to
    /// go on with, if something was there. `is_whole` tells whether the unfinished files are there.
    pub fn open(
        path: PathBuf,
        origin: Origin,
        is_whole: bool,
    ) -> (Record, Result<SoFar, Option<&'static str>>) {
        let found = match fs::read(&path) {
            Err(_) => Err(None),
            Ok(text) => match serde_json::from_slice::<Written>(&text) {
                Err(_) => Err(Some("what stands beside it is damaged")),
                Ok(written) => match origin.differs(&written.origin) {
                    Some(why) => Err(Some(why)),
                    None if !is_whole => Err(Some("its unfinished files are gone")),
                    None => Ok(SoFar {
                        position: Position { row: written.row, part: written.part },
                        sums: LossSums::from_bits(written.sums),
                        seen: written.seen,
                    }),
                },
            },
        };
        (Record { path, origin }, found)
    }

    /// Writes down how far the result has come.
    pub fn keep(&mut self, so_far: &SoFar) -> Outcome {
        // The origin stays ours: it is lent to what is written.
        #[derive(Serialize)]
        struct Borrowed<'a> {
            origin: &'a Origin,
            row: usize,
            part: usize,
            sums: [u64; 4],
            seen: &'a [Seen],
        }
        let SoFar { position, sums, ref seen } = *so_far;
        let Position { row, part } = position;
        let text =
            serde_json::to_vec(&Borrowed { origin: &self.origin, row, part, sums: sums.to_bits(), seen });
        let kept = text.map_err(io::Error::from).and_then(|text| replace(&self.path, &text));
        kept.map_err(|error| Failure::writing(&shown(&self.path), &error))
    }

    /// Nothing is left to go on with.
    pub fn remove(self) {
        let _ = fs::remove_file(self.path);
    }
}

/// Puts a file in the place of another, whole.
fn replace(path: &Path, text: &[u8]) -> io::Result<()> {
    let mut new = path.as_os_str().to_owned();
    new.push(".new");
    let mut file = File::create(&new)?;
    file.write_all(text)?;
    file.sync_data()?;
    fs::rename(new, path)
}
