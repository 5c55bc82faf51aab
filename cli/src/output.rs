//! Where results go: standard output, a device or pipe, or a file that appears whole or not at all.

use std::fs::{self, File, OpenOptions, Permissions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use tempfile::NamedTempFile;

use crate::failure::{Failure, Outcome};

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
#[derive(Debug)]
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
        write_together(&[(self, &content)])
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

/// Gives what is to be written.
pub type Content<'a> = &'a dyn Fn(&mut dyn Write) -> io::Result<()>;

/// Writes to several places, whose files all appear at the end. Where one of them fails, none does.
pub fn write_together(parts: &[(&Destination, Content<'_>)]) -> Outcome {
    let mut unfinished = Vec::new();
    for (destination, content) in parts {
        if let Destination::File { target, .. } = destination {
            let beside = written_beside(target, *content)
                .map_err(|error| Failure::writing(&destination.name(), &error))?;
            unfinished.push((destination, beside, target));
        }
    }
    // What cannot be taken back comes once everything else is there.
    for (destination, content) in parts {
        match destination {
            Destination::Stdout => {
                let mut stdout = io::stdout().lock();
                content(&mut stdout).and_then(|()| stdout.flush())
            }
            Destination::Direct(path) => OpenOptions::new().write(true).open(path).and_then(|mut file| {
                content(&mut file)?;
                file.flush()
            }),
            Destination::File { .. } => Ok(()),
        }
        .map_err(|error| Failure::writing(&destination.name(), &error))?;
    }
    for (destination, beside, target) in unfinished {
        let persisted = beside.persist(target).map(drop);
        persisted.map_err(|refused| Failure::writing(&destination.name(), &refused.error))?;
    }
    Ok(())
}

/// A file beside `target` that is ready to take its place. Until it does, the target stays as it was.
fn written_beside(target: &Path, content: Content<'_>) -> io::Result<NamedTempFile> {
    let before = fs::metadata(target).ok();
    let mut builder = tempfile::Builder::new();
    builder.prefix(".wgpu-softmax-").suffix(".unfinished");
    if let Some(permissions) = new_file_permissions() {
        builder.permissions(permissions);
    }
    let mut beside = builder.tempfile_in(folder_of(target)).map_err(|error| match error.get_ref() {
        // tempfile's message carries the path of a file that nobody asked for.
        Some(_) => io::Error::from(error.kind()),
        None => error,
    })?;
    content(beside.as_file_mut())?;
    if let Some(before) = before {
        keep_owner_and_permissions(beside.as_file(), &before)?;
    }
    // A full or broken disk may only tell now.
    beside.as_file().sync_all()?;
    Ok(beside)
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
