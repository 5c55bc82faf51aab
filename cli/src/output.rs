//! Where results go: standard output, a device or pipe, or a file that appears whole or not at all.

use std::fs::{self, File, OpenOptions, Permissions, TryLockError};
use std::io::{self, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use tempfile::{NamedTempFile, SpooledTempFile};

use crate::failure::{Failure, Outcome};
use crate::interruption::{self, Passing};
use crate::progress::Work;
use crate::report;

/// More symbolic links in a row than this are a circle.
const MOST_LINKS: usize = 40;

/// A line on standard error, and one only. That it cannot be written is no reason to stop.
pub fn note(line: &str) {
    let _ = writeln!(io::stderr(), "{}", plain(line));
}

/// Text that stays within its line and leaves a terminal as it is, whatever a file's name or header has in it.
pub fn plain(text: &str) -> String {
    let mut plain = String::with_capacity(text.len());
    for character in text.chars() {
        match character.is_control() {
            true => plain.extend(character.escape_default()),
            false => plain.push(character),
        }
    }
    plain
}

/// Writes to standard output, to the last byte.
pub fn print(bytes: &[u8]) -> Outcome {
    let mut stdout = io::stdout().lock();
    stdout
        .write_all(bytes)
        .and_then(|()| stdout.flush())
        .map_err(|error| Failure::writing("standard output", &error))
}

/// A path for messages.
pub fn shown(path: &Path) -> String {
    path.display().to_string()
}

/// Where a result will be written.
#[derive(Debug, Clone)]
pub enum Destination {
    /// Standard output.
    Stdout,
    /// A device or pipe, written as it is.
    Direct(PathBuf),
    /// A regular file, written beside its place and renamed into it.
    File {
        /// The file itself, at the end of any symbolic links.
        target: PathBuf,
        /// The name it was given.
        name: String,
    },
}

impl Destination {
    /// The destination that `path` names; `-` is standard output.
    ///
    /// What can be known to fail is refused here, before anything has been computed.
    pub fn of(path: &Path) -> Outcome<Destination> {
        if path == Path::new("-") || path == Path::new("/dev/stdout") {
            return Ok(Destination::Stdout);
        }
        let name = shown(path);
        let refuse = |why: &str| Err(Failure::Output(format!("cannot write {name}: {why}")));
        // An open file of this or another process, whatever it is: there is no place to rename into.
        if path.starts_with("/dev/fd") || path.starts_with("/proc") {
            return Ok(Destination::Direct(path.into()));
        }
        match fs::metadata(path) {
            Ok(there) if there.is_dir() => refuse("it is a directory"),
            Ok(there) if !there.is_file() => Ok(Destination::Direct(path.into())),
            Ok(there) if there.permissions().readonly() => refuse("it is read-only"),
            Ok(_) => Ok(Destination::File { target: at_the_end_of_links(path, &name)?, name }),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                let target = at_the_end_of_links(path, &name)?;
                if target.file_name().is_none() || name.ends_with(std::path::is_separator) {
                    return refuse("it names no file");
                }
                match fs::metadata(folder_of(&target)) {
                    Ok(folder) if folder.is_dir() => Ok(Destination::File { target, name }),
                    Ok(_) => refuse("what should hold it is not a folder"),
                    Err(_) => refuse("the folder that should hold it does not exist"),
                }
            }
            Err(error) => Err(Failure::writing(&name, &error)),
        }
    }

    /// Writes all that `content` gives.
    pub fn write(&self, content: impl Fn(&mut dyn Write) -> io::Result<()>) -> Outcome {
        let mut file = Unfinished::begin(self)?;
        content(&mut file).map_err(|error| file.refused(&error))?;
        finish(vec![file])
    }

    /// The folder and the name of a file that is renamed into its place.
    pub fn place(&self) -> Option<(&Path, &Path)> {
        match self {
            Destination::File { target, .. } => Some((folder_of(target), Path::new(target.file_name()?))),
            _ => None,
        }
    }

    /// What messages call it.
    pub fn name(&self) -> String {
        match self {
            Destination::Stdout => "standard output".into(),
            Destination::Direct(path) => shown(path),
            Destination::File { name, .. } => name.clone(),
        }
    }

    /// Whether both lead to the same place.
    pub fn is_same(&self, other: &Destination) -> bool {
        match (self, other) {
            (Destination::Stdout, Destination::Stdout) => true,
            (Destination::Direct(one), Destination::Direct(other)) => one == other,
            (Destination::File { target: one, .. }, Destination::File { target: other, .. }) => {
                let place = |file: &Path| {
                    Some((fs::canonicalize(folder_of(file)).ok()?, file.file_name()?.to_owned()))
                };
                one == other || place(one).is_some_and(|one| place(other) == Some(one))
            }
            _ => false,
        }
    }

    /// Whether results go where reports would go otherwise.
    pub fn is_stdout(&self) -> bool {
        matches!(self, Destination::Stdout)
    }
}

/// How the names of files begin that are not complete.
const UNFINISHED: &str = ".wgpu-softmax-";

/// Bytes that are held in memory, rather than in a file without a name.
const HELD_IN_MEMORY: usize = 4 << 20;

/// A place for what comes in another order than it is needed, or goes somewhere once all of it is there.
pub fn held() -> SpooledTempFile {
    tempfile::spooled_tempfile(HELD_IN_MEMORY)
}

/// `error` met while holding what `name` is given, or gives.
pub fn holding(name: &str, error: &io::Error) -> Failure {
    let folder = shown(&std::env::temp_dir());
    Failure::Output(format!("cannot hold {name}: {error} (it is held in {folder}, or where TMPDIR says)"))
}

/// A result that is being written: beside its place, so that what was there before stays until the end.
#[derive(Debug)]
pub struct Unfinished {
    destination: Destination,
    place: Place,
}

#[derive(Debug)]
enum Place {
    /// A file that is gone where nobody finishes it.
    Passing { file: NamedTempFile, _passing: Passing },
    /// A file that waits for somebody to go on with it.
    Lasting { file: File, path: PathBuf },
    /// What cannot be taken back is not given before all of it is there.
    Held(SpooledTempFile),
}

impl Unfinished {
    /// Begins a result.
    pub fn begin(destination: &Destination) -> Outcome<Unfinished> {
        let destination = destination.clone();
        let Destination::File { target, name } = &destination else {
            return Ok(Unfinished { destination, place: Place::Held(held()) });
        };
        let mut builder = tempfile::Builder::new();
        builder.prefix(UNFINISHED).suffix(".unfinished");
        if let Some(permissions) = new_file_permissions() {
            builder.permissions(permissions);
        }
        let file = builder.tempfile_in(folder_of(target)).map_err(|error| match error.get_ref() {
            // tempfile's message carries the path of a file that nobody asked for.
            Some(_) => io::Error::from(error.kind()),
            None => error,
        });
        let file = file.map_err(|error| Failure::writing(name, &error))?;
        let passing = Passing::new(file.path());
        Ok(Unfinished { destination, place: Place::Passing { file, _passing: passing } })
    }

    /// Goes on with the result that an earlier run has left, or begins one that a later run can go on with.
    ///
    /// # Errors
    /// Also where the destination is no file.
    pub fn resume(destination: &Destination) -> Outcome<Unfinished> {
        let Some(path) = destination.unfinished() else {
            let name = destination.name();
            return Err(Failure::Usage(format!("--resume needs a file to write to, and {name} is none")));
        };
        let file = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(&path);
        let file = file.map_err(|error| Failure::writing(&shown(&path), &error))?;
        // Where there are no locks, whoever starts two runs at once has to know.
        if let Err(TryLockError::WouldBlock) = file.try_lock() {
            let name = destination.name();
            return Err(Failure::Output(format!("cannot write {name}: another run is at it")));
        }
        Ok(Unfinished { destination: destination.clone(), place: Place::Lasting { file, path } })
    }

    /// Makes room to the `bytes`th byte, so that any place before may be written.
    pub fn extend_to(&mut self, bytes: u64) -> io::Result<()> {
        let (file, folder) = match &self.place {
            Place::Passing { file, .. } => (file.as_file(), folder_of(file.path()).to_path_buf()),
            Place::Lasting { file, path } => (file, folder_of(path).to_path_buf()),
            Place::Held(_) if bytes <= HELD_IN_MEMORY as u64 => return Ok(()),
            Place::Held(_) => return room_for(bytes, &std::env::temp_dir()),
        };
        // Better now than after hours of work.
        if file.metadata()?.len() < bytes {
            room_for(bytes, &folder)?;
        }
        file.set_len(bytes)
    }

    /// Sees to it that what is written stays, even where the machine stops.
    pub fn secure(&mut self) -> io::Result<()> {
        match &self.place {
            Place::Passing { file, .. } => file.as_file().sync_data(),
            Place::Lasting { file, .. } => file.sync_data(),
            Place::Held(_) => Ok(()),
        }
    }

    /// Bytes of the file so far.
    pub fn bytes(&self) -> u64 {
        match &self.place {
            Place::Passing { file, .. } => file.as_file().metadata(),
            Place::Lasting { file, .. } => file.metadata(),
            Place::Held(_) => return 0,
        }
        .map_or(0, |metadata| metadata.len())
    }

    /// `error` met while writing this, and what becomes of what is written already.
    pub fn refused(&self, error: &io::Error) -> Failure {
        let name = self.destination.name();
        match (&self.place, Failure::writing(&name, error)) {
            (Place::Passing { file, .. }, Failure::Output(why)) => {
                let part = shown(Path::new(file.path().file_name().unwrap_or_default()));
                Failure::Output(format!("{why}; the part that was written, {part}, is removed"))
            }
            (Place::Lasting { path, .. }, Failure::Output(why)) => Failure::Output(format!(
                "{why}; the part that was written, {}, stays for --resume",
                shown(path)
            )),
            (Place::Held(_), Failure::Output(_)) => holding(&name, error),
            (_, other) => other,
        }
    }
}

impl Write for Unfinished {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match &mut self.place {
            Place::Passing { file, .. } => file.write(bytes),
            Place::Lasting { file, .. } => file.write(bytes),
            Place::Held(held) => held.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Seek for Unfinished {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        match &mut self.place {
            Place::Passing { file, .. } => file.seek(to),
            Place::Lasting { file, .. } => file.seek(to),
            Place::Held(held) => held.seek(to),
        }
    }
}

impl Destination {
    /// Where a result waits for somebody to go on with it.
    pub fn unfinished(&self) -> Option<PathBuf> {
        self.beside("unfinished")
    }

    /// Where it stands how far that result has come.
    pub fn progress(&self) -> Option<PathBuf> {
        self.beside("progress")
    }

    fn beside(&self, ending: &str) -> Option<PathBuf> {
        let (folder, name) = self.place()?;
        let mut beside = std::ffi::OsString::from(UNFINISHED);
        beside.push(name);
        beside.push(".");
        beside.push(ending);
        Some(folder.join(beside))
    }
}

/// Lets complete results appear in their places: all of them, or where one fails, none.
pub fn finish(mut parts: Vec<Unfinished>) -> Outcome {
    for part in &mut parts {
        let settled = settle(part);
        settled.map_err(|error| part.refused(&error))?;
    }
    // What cannot be taken back comes once everything else is there.
    for part in &mut parts {
        if let Place::Held(held) = &mut part.place {
            hand_over(held, &part.destination)?;
        }
    }
    interruption::check()?;
    let appeared: Vec<(Outcome, Option<Passing>)> = interruption::undisturbed(|| {
        let appear = |part: Unfinished| {
            let Unfinished { destination, place } = part;
            let Destination::File { target, name } = &destination else { return (Ok(()), None) };
            let (renamed, passing) = match place {
                Place::Passing { file, _passing } => {
                    (file.persist(target).map(drop).map_err(|refused| refused.error), Some(_passing))
                }
                Place::Lasting { path, .. } => (fs::rename(path, target), None),
                Place::Held(_) => (Ok(()), None),
            };
            (renamed.map_err(|error| Failure::writing(name, &error)), passing)
        };
        parts.into_iter().map(appear).collect()
    });
    appeared.into_iter().try_for_each(|(outcome, _)| outcome)
}

/// Makes a file ready to take its place.
fn settle(part: &Unfinished) -> io::Result<()> {
    let Destination::File { target, .. } = &part.destination else { return Ok(()) };
    let file = match &part.place {
        Place::Passing { file, .. } => file.as_file(),
        Place::Lasting { file, .. } => file,
        Place::Held(_) => return Ok(()),
    };
    if let Ok(before) = fs::metadata(target) {
        keep_owner_and_permissions(file, &before)?;
    }
    // A full or broken disk may only tell now.
    file.sync_all()
}

/// Gives what was held to a stream.
fn hand_over(held: &mut SpooledTempFile, destination: &Destination) -> Outcome {
    let (name, work) = (destination.name(), Work::unseen());
    held.seek(SeekFrom::Start(0)).map_err(|error| holding(&name, &error))?;
    let mut writer: Box<dyn Write> = match destination {
        Destination::Direct(path) => {
            let opened = OpenOptions::new().write(true).open(path);
            Box::new(opened.map_err(|error| Failure::writing(&name, &error))?)
        }
        _ => Box::new(io::stdout().lock()),
    };
    let mut batch = vec![0; 1 << 20];
    loop {
        let got = io::Read::read(held, &mut batch).map_err(|error| holding(&name, &error))?;
        if got == 0 {
            return writer.flush().map_err(|error| Failure::writing(&name, &error));
        }
        writer.write_all(&batch[..got]).map_err(|error| Failure::writing(&name, &error))?;
        work.go_on()?;
    }
}

/// Whether a disk has room for so many bytes more, as far as it tells.
fn room_for(bytes: u64, folder: &Path) -> io::Result<()> {
    match fs4::available_space(folder) {
        Ok(free) if free < bytes => {
            let [bytes, free] = [bytes, free].map(report::bytes);
            Err(io::Error::new(
                io::ErrorKind::StorageFull,
                format!("it takes {bytes}, and the disk has {free} left"),
            ))
        }
        _ => Ok(()),
    }
}

/// The folder that `file` lies in.
fn folder_of(file: &Path) -> &Path {
    match file.parent() {
        Some(folder) if folder != Path::new("") => folder,
        _ => Path::new("."),
    }
}

/// The file that `path` leads to, so that the links to it stay.
fn at_the_end_of_links(path: &Path, name: &str) -> Outcome<PathBuf> {
    let mut place = path.to_path_buf();
    for _ in 0..MOST_LINKS {
        match fs::read_link(&place) {
            Ok(target) => place = folder_of(&place).join(target),
            Err(_) => return Ok(place),
        }
    }
    Err(Failure::Output(format!("cannot write {name}: its symbolic links go in a circle")))
}

/// What a new file gets, before the umask: tempfile's own are for secrets.
#[cfg(unix)]
fn new_file_permissions() -> Option<Permissions> {
    use std::os::unix::fs::PermissionsExt;
    Some(Permissions::from_mode(0o666))
}

#[cfg(not(unix))]
fn new_file_permissions() -> Option<Permissions> {
    None
}

#[cfg(unix)]
fn keep_owner_and_permissions(file: &File, before: &fs::Metadata) -> io::Result<()> {
    use std::os::unix::fs::{MetadataExt, fchown};
    let now = file.metadata()?;
    if (now.uid(), now.gid()) != (before.uid(), before.gid()) {
        // Only root may give files away; anyone else's copy is their own.
        let _ = fchown(file, Some(before.uid()), Some(before.gid()));
    }
    file.set_permissions(before.permissions())
}

#[cfg(not(unix))]
fn keep_owner_and_permissions(_file: &File, _before: &fs::Metadata) -> io::Result<()> {
    Ok(())
}
