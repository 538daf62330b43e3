//! The directory: what lies where, and how a file becomes an object that survives a crash.
//!
//! ```text
//! <data>/lock       held by the one process that works here
//! <data>/objects/   the objects, placed by `key_path`
//! <data>/tmp/       files being received; emptied at start
//! <data>/uploads/   multipart uploads in progress; see `uploads`
//! ```
//! An object is written to `tmp`, flushed, and then renamed (or linked, when it must not exist yet) to its place, whose
//! directory is flushed before anybody hears of success. So an object is whole or not there.

use std::{
    collections::HashSet,
    fs::{self, File, TryLockError},
    io::{self, Read as _},
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
    sync::{PoisonError, RwLock},
    time::{Instant, SystemTime},
};

use crate::limits::{KNOWN_DIRECTORIES_MAX, LOCK_WAIT_MAX, PUBLISH_TRIES_MAX};

/// The store's directory, opened by one process.
#[derive(Debug)]
pub struct Disk {
    objects: PathBuf,
    temporary: PathBuf,
    uploads: PathBuf,
    /// Directories whose entry in their parent is flushed. The lock also keeps removal of empty directories away from
    /// whoever is about to put a file into one.
    known: RwLock<HashSet<PathBuf>>,
    _lock: File,
}

/// Whether a file may take the place of another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Placement {
    /// Only where nothing is.
    Create,
    /// Also instead of what is there; readers see the old or the new one, whole.
    Replace,
}

/// An object's file as it was at one moment.
#[derive(Debug)]
pub struct Stored {
    /// Open for reading; goes on to work after the object is deleted or replaced.
    pub file: File,
    /// Name, length and time.
    pub facts: Facts,
}

/// What is known of a file without reading it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Facts {
    /// Length.
    pub bytes: u64,
    /// When it was received.
    pub modified: SystemTime,
    /// Changes with the content: objects are replaced whole, so inode, time and length tell them apart.
    pub etag: String,
}

impl Facts {
    /// Reads the facts of an open file or a path.
    pub fn of(metadata: &fs::Metadata) -> io::Result<Self> {
        let etag =
            format!("{:x}-{:x}-{:x}-{:x}", metadata.ino(), metadata.mtime(), metadata.mtime_nsec(), metadata.len());
        Ok(Self { bytes: metadata.len(), modified: metadata.modified()?, etag })
    }
}

impl Disk {
    /// Opens the directory, made if it is not there; waits a while for another process to let go of it, and removes
    /// what a killed one left in `tmp`.
    pub fn open(data: &Path) -> io::Result<Self> {
        let disk = |part: &str| data.join(part);
        fs::create_dir_all(data).map_err(|error| named(&error, data))?;
        let lock = File::create(disk("lock")).map_err(|error| named(&error, &disk("lock")))?;
        wait_for(&lock, data)?;
        let temporary = disk("tmp");
        if let Err(error) = fs::remove_dir_all(&temporary)
            && error.kind() != io::ErrorKind::NotFound
        {
            return Err(named(&error, &temporary));
        }
        for part in [&temporary, &disk("objects"), &disk("uploads")] {
            fs::create_dir_all(part).map_err(|error| named(&error, part))?;
        }
        flush_directory(data)?;
        let known = RwLock::new(HashSet::from([disk("objects")]));
        Ok(Self { objects: disk("objects"), temporary, uploads: disk("uploads"), known, _lock: lock })
    }

    /// Root of all objects.
    pub fn objects(&self) -> &Path {
        &self.objects
    }

    /// Root of the uploads in progress.
    pub fn uploads(&self) -> &Path {
        &self.uploads
    }

    /// A fresh file to receive into.
    pub fn temporary(&self) -> io::Result<Temporary> {
        Temporary::create(self.temporary.join(random_name()?))
    }

    /// Makes a received file the object at `place` (relative to the objects), durably. `AlreadyExists` when it was to be
    /// created and something is there: the file system decides that, so of two at once exactly one wins.
    pub fn publish(&self, temporary: Temporary, place: &Path, placement: Placement) -> io::Result<Facts> {
        temporary.file.sync_all()?;
        let facts = Facts::of(&temporary.file.metadata()?)?;
        let place = self.objects.join(place);
        let directory = place.parent().ok_or(io::ErrorKind::InvalidInput)?;
        for _ in 0..PUBLISH_TRIES_MAX {
            let known = self.known.read().unwrap_or_else(PoisonError::into_inner);
            if known.contains(directory) {
                match placement {
                    Placement::Create => fs::hard_link(&temporary.path, &place)?,
                    Placement::Replace => {
                        fs::rename(&temporary.path, &place)?;
                        temporary.gone();
                    }
                }
                flush_directory(directory)?;
                return Ok(facts);
            }
            drop(known);
            // A delete may remove the directory again before the lock is back.
            self.make_durable(directory)?;
        }
        Err(io::Error::new(io::ErrorKind::ResourceBusy, "the directory is emptied as often as it is made"))
    }

    /// Opens the object at `place`.
    pub fn get(&self, place: &Path) -> io::Result<Stored> {
        let file = File::open(self.objects.join(place))?;
        let facts = Facts::of(&file.metadata()?)?;
        Ok(Stored { file, facts })
    }

    /// The facts of the object at `place`.
    pub fn head(&self, place: &Path) -> io::Result<Facts> {
        Facts::of(&fs::metadata(self.objects.join(place))?)
    }

    /// Deletes the object at `place`, durably, with the directories that it leaves empty. Success when none is there.
    pub fn delete(&self, place: &Path) -> io::Result<()> {
        let place = self.objects.join(place);
        match fs::remove_file(&place) {
            Ok(()) => {}
            Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {
                return Ok(());
            }
            Err(error) => return Err(error),
        }
        let Some(parent) = place.parent() else { return Ok(()) };
        let mut known = self.known.write().unwrap_or_else(PoisonError::into_inner);
        let mut directory = parent;
        while directory != self.objects && fs::remove_dir(directory).is_ok() {
            known.remove(directory);
            let Some(above) = directory.parent() else { break };
            directory = above;
        }
        drop(known);
        // Another delete may have removed the directory meanwhile, and flushed the one above.
        match flush_directory(directory) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            flushed => flushed,
        }
    }

    /// Bytes that can still be written.
    pub fn free_bytes(&self) -> io::Result<u64> {
        let space = rustix::fs::statvfs(&self.objects)?;
        Ok(space.f_bavail.saturating_mul(space.f_frsize))
    }

    /// Bytes that the file system holds when it is full.
    pub fn size_bytes(&self) -> io::Result<u64> {
        let space = rustix::fs::statvfs(&self.objects)?;
        Ok(space.f_blocks.saturating_mul(space.f_frsize))
    }

    fn make_durable(&self, directory: &Path) -> io::Result<()> {
        let mut known = self.known.write().unwrap_or_else(PoisonError::into_inner);
        if known.len() >= KNOWN_DIRECTORIES_MAX {
            known.clear();
            known.insert(self.objects.clone());
        }
        let missing: Vec<&Path> = directory.ancestors().take_while(|above| !known.contains(*above)).collect();
        for step in missing.into_iter().rev() {
            match fs::create_dir(step) {
                Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
                _ => {}
            }
            // Also when it was there: a process that was killed may not have got so far.
            flush_directory(step.parent().ok_or(io::ErrorKind::InvalidInput)?)?;
            known.insert(step.to_owned());
        }
        Ok(())
    }
}

/// A file being received; removed when it does not become an object.
#[derive(Debug)]
pub struct Temporary {
    /// Open for writing and reading.
    pub file: File,
    path: PathBuf,
    keep: bool,
}

impl Temporary {
    /// A new file at `path`.
    pub fn create(path: PathBuf) -> io::Result<Self> {
        let file = File::options().read(true).write(true).create_new(true).open(&path)?;
        Ok(Self { file, path, keep: false })
    }

    /// Moves the flushed file to `place` beside it, durably.
    pub fn settle(self, place: &Path) -> io::Result<Facts> {
        self.file.sync_all()?;
        let facts = Facts::of(&self.file.metadata()?)?;
        fs::rename(&self.path, place)?;
        self.gone();
        flush_directory(place.parent().ok_or(io::ErrorKind::InvalidInput)?)?;
        Ok(facts)
    }

    fn gone(mut self) {
        self.keep = true;
    }
}

impl Drop for Temporary {
    fn drop(&mut self) {
        if !self.keep {
            // What cannot be removed now is removed at the next start.
            let _ = fs::remove_file(&self.path);
        }
    }
}

/// 128 random bits in hex.
pub fn random_name() -> io::Result<String> {
    let mut bytes = [0; 16];
    File::open("/dev/urandom")?.read_exact(&mut bytes)?;
    Ok(hex::encode(bytes))
}

/// Flushes the names in a directory.
pub fn flush_directory(directory: &Path) -> io::Result<()> {
    File::open(directory)?.sync_all()
}

fn wait_for(lock: &File, data: &Path) -> io::Result<()> {
    let began = Instant::now();
    loop {
        match lock.try_lock() {
            Ok(()) => return Ok(()),
            Err(TryLockError::Error(error)) => return Err(named(&error, data)),
            Err(TryLockError::WouldBlock) if began.elapsed() >= LOCK_WAIT_MAX => {
                let text = format!("{}: in use by another process; expected one store per directory", data.display());
                return Err(io::Error::new(io::ErrorKind::ResourceBusy, text));
            }
            Err(TryLockError::WouldBlock) => std::thread::sleep(std::time::Duration::from_millis(100)),
        }
    }
}

fn named(error: &io::Error, path: &Path) -> io::Error {
    io::Error::new(error.kind(), format!("{}: {error}", path.display()))
}
