//! Files that are whole or not there: written beside their place, then renamed into it.

use std::ffi::OsString;
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};

/// The name of a file that is being written; dropped before [`Partial::commit`], it takes the file away.
pub(crate) struct Partial {
    path: PathBuf,
    temporary: PathBuf,
    done: bool,
}

impl Partial {
    /// Creates `.NAME.partial` beside `path`; what an earlier run that was killed left there is replaced.
    pub(crate) fn create(path: &Path) -> io::Result<(Self, File)> {
        if path.is_dir() {
            return Err(io::ErrorKind::IsADirectory.into());
        }
        let mut name = OsString::from(".");
        name.push(path.file_name().ok_or(io::ErrorKind::InvalidInput)?);
        name.push(".partial");
        let temporary = path.with_file_name(name);
        let file = File::create(&temporary)?;
        Ok((Self { path: path.into(), temporary, done: false }, file))
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

impl Drop for Partial {
    fn drop(&mut self) {
        if !self.done {
            // Nobody is left to tell; a file that stays is replaced by the next one of this name.
            let _ = std::fs::remove_file(&self.temporary);
        }
    }
}
