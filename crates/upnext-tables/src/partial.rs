//! Files that are whole or not there: written beside their place, then renamed into it.

use std::ffi::OsString;
use std::fs::{File, OpenOptions, TryLockError};
use std::io;
use std::path::{Path, PathBuf};

/// The name of a file that is being written; dropped before [`Partial::commit`], it takes the file away.
pub(crate) struct Partial {
    path: PathBuf,
    temporary: PathBuf,
    done: bool,
    /// Held until the name is gone, whoever closes the file before.
    _lock: Option<File>,
}

impl Partial {
    /// Creates `.NAME.partial` beside `path`, locked as long as it lives; what an earlier run that was killed left
    /// there is replaced, and what another one writes at this moment is refused.
    pub(crate) fn create(path: &Path) -> io::Result<(Self, File)> {
        if path.is_dir() {
            return Err(io::ErrorKind::IsADirectory.into());
        }
        let mut name = OsString::from(".");
        name.push(path.file_name().ok_or(io::ErrorKind::InvalidInput)?);
        name.push(".partial");
        let temporary = path.with_file_name(name);
        let file = open_alone(&temporary)?;
        Ok((Self { path: path.into(), temporary, done: false, _lock: file.try_clone().ok() }, file))
    }

    /// Where the file will stand.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Syncs the flushed file, puts it in its place and syncs the folder.
    pub(crate) fn commit(&mut self, file: &File) -> io::Result<()> {
        file.sync_all()?;
        std::fs::rename(&self.temporary, &self.path)?;
        self.done = true;
        let folder = self.path.parent().filter(|folder| !folder.as_os_str().is_empty());
        File::open(folder.unwrap_or(Path::new(".")))?.sync_all()
    }
}

/// Opens an empty file that nobody else writes.
fn open_alone(path: &Path) -> io::Result<File> {
    /// One more than a writer that ends at the wrong moment takes.
    const TRIES: usize = 10;
    for _ in 0..TRIES {
        let file = OpenOptions::new().write(true).create(true).truncate(false).open(path)?;
        match file.try_lock() {
            Err(TryLockError::WouldBlock) => break,
            // Systems without locks on files do without.
            Ok(()) | Err(TryLockError::Error(_)) => {}
        }
        // Another writer may have put the file into its place between the two.
        if is_at(&file, path)? {
            file.set_len(0)?;
            return Ok(file);
        }
    }
    Err(io::Error::new(io::ErrorKind::ResourceBusy, "another process is writing this file at this moment"))
}

/// Whether an open file is the one of this name.
#[cfg(unix)]
fn is_at(file: &File, path: &Path) -> io::Result<bool> {
    use std::os::unix::fs::MetadataExt;
    let open = file.metadata()?;
    match std::fs::metadata(path) {
        Ok(named) => Ok((named.dev(), named.ino()) == (open.dev(), open.ino())),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error),
    }
}

#[cfg(not(unix))]
fn is_at(_: &File, _: &Path) -> io::Result<bool> {
    Ok(true)
}

impl Drop for Partial {
    fn drop(&mut self) {
        if !self.done {
            // Nobody is left to tell; a file that stays is replaced by the next one of this name.
            let _ = std::fs::remove_file(&self.temporary);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    #[test]
    fn two_writers_of_one_file_do_not_meet() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("lists.csv");
        let (mut first, mut file) = Partial::create(&path).unwrap();
        file.write_all(b"first").unwrap();
        let refused = Partial::create(&path).map(|_| ()).unwrap_err();
        assert_eq!(refused.kind(), io::ErrorKind::ResourceBusy);
        first.commit(&file).unwrap();
        drop((first, file));
        assert_eq!(std::fs::read(&path).unwrap(), b"first");
        // What a writer that was killed has left is taken over, and gone when this one gives up.
        std::fs::write(dir.path().join(".lists.csv.partial"), b"half of a longer file").unwrap();
        let (mut second, mut file) = Partial::create(&path).unwrap();
        file.write_all(b"second").unwrap();
        second.commit(&file).unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), b"second");
        drop(Partial::create(&path).unwrap());
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1);
    }

    #[test]
    fn a_file_that_was_put_into_its_place_is_not_the_one_that_is_written() {
        let dir = tempfile::tempdir().unwrap();
        let (one, other) = (dir.path().join("one"), dir.path().join("other"));
        let file = File::create(&one).unwrap();
        assert!(is_at(&file, &one).unwrap());
        std::fs::rename(&one, &other).unwrap();
        assert!(!is_at(&file, &one).unwrap() || cfg!(not(unix)));
        File::create(&one).unwrap();
        assert!(!is_at(&file, &one).unwrap() || cfg!(not(unix)));
    }
}
