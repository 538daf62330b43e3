//! Layout of the data directory, and how objects are written durably.
//!
//! ```text
//! <data>/lock       locked by the one process that uses the directory
//! <data>/objects/   objects, at paths defined by `key_path`
//! <data>/tmp/       files being received; emptied at startup
//! <data>/uploads/   multipart uploads in progress; see `uploads`
//! ```
//! An object is written to `tmp`, flushed, and renamed to its path (linked instead if the path must
//! not exist yet). Then its directory is flushed, and only then the request succeeds. So an object
//! is either complete or absent.

use std::{
    collections::HashSet,
    fs::{self, File, TryLockError},
    io::{self, Read as _},
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
    sync::{PoisonError, RwLock},
    time::{Instant, SystemTime},
};

use crate::limits::{DURABLE_DIRECTORIES_MAX, LOCK_WAIT_MAX, PUBLISH_ATTEMPTS_MAX};

/// Data directory of the store, locked by one process.
#[derive(Debug)]
pub struct Disk {
    objects: PathBuf,
    temporary: PathBuf,
    uploads: PathBuf,
    /// Directories whose entry in their parent is flushed. The lock also prevents the removal of an
    /// empty directory while another thread puts a file into it.
    durable: RwLock<HashSet<PathBuf>>,
    _lock: File,
}

/// Handling of an existing object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PutMode {
    /// Fails if the object exists.
    Create,
    /// Replaces an existing object atomically: readers see either the old or the new content.
    Replace,
}

/// Opened object.
#[derive(Debug)]
pub struct StoredObject {
    /// Open for reading; stays readable after the object is deleted or replaced.
    pub file: File,
    /// Metadata of `file`.
    pub stat: FileStat,
}

/// Metadata of a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileStat {
    /// Length of the content.
    pub bytes: u64,
    /// Time of the last write.
    pub modified: SystemTime,
    /// Made of inode, time and length. Objects are replaced as a whole, so these change with the
    /// content.
    pub etag: String,
}

impl FileStat {
    /// Converts the metadata that the file system returned.
    pub fn of(metadata: &fs::Metadata) -> io::Result<Self> {
        let etag =
            format!("{:x}-{:x}-{:x}-{:x}", metadata.ino(), metadata.mtime(), metadata.mtime_nsec(), metadata.len());
        Ok(Self { bytes: metadata.len(), modified: metadata.modified()?, etag })
    }
}

impl Disk {
    /// Opens the directory and creates it if needed. Waits up to [`LOCK_WAIT_MAX`] for another
    /// process to release the lock, then empties `tmp`.
    pub fn open(data: &Path) -> io::Result<Self> {
        let disk = |part: &str| data.join(part);
        fs::create_dir_all(data).map_err(|error| with_path(&error, data))?;
        let lock = File::create(disk("lock")).map_err(|error| with_path(&error, &disk("lock")))?;
        wait_for(&lock, data)?;
        let temporary = disk("tmp");
        if let Err(error) = fs::remove_dir_all(&temporary)
            && error.kind() != io::ErrorKind::NotFound
        {
            return Err(with_path(&error, &temporary));
        }
        for part in [&temporary, &disk("objects"), &disk("uploads")] {
            fs::create_dir_all(part).map_err(|error| with_path(&error, part))?;
        }
        flush_directory(data)?;
        let durable = RwLock::new(HashSet::from([disk("objects")]));
        Ok(Self { objects: disk("objects"), temporary, uploads: disk("uploads"), durable, _lock: lock })
    }

    /// Root directory of the objects.
    pub fn objects(&self) -> &Path {
        &self.objects
    }

    /// Root directory of the uploads in progress.
    pub fn uploads(&self) -> &Path {
        &self.uploads
    }

    /// Creates a temporary file.
    pub fn temporary(&self) -> io::Result<TemporaryFile> {
        TemporaryFile::create(self.temporary.join(random_name()?))
    }

    /// Creates a temporary directory with this name.
    pub fn temporary_directory(&self, name: &str) -> io::Result<PathBuf> {
        let directory = self.temporary.join(name);
        fs::create_dir(&directory)?;
        Ok(directory)
    }

    /// Durably turns a received file into the object at `path`, which is relative to the root of
    /// the objects. Returns `AlreadyExists` if the mode is `Create` and the object exists. The file
    /// system checks this atomically, so exactly one of two concurrent creations succeeds.
    pub fn publish(&self, temporary: TemporaryFile, path: &Path, mode: PutMode) -> io::Result<FileStat> {
        temporary.file.sync_all()?;
        let stat = FileStat::of(&temporary.file.metadata()?)?;
        let path = self.objects.join(path);
        let directory = path.parent().ok_or(io::ErrorKind::InvalidInput)?;
        for _ in 0..PUBLISH_ATTEMPTS_MAX {
            let durable = self.durable.read().unwrap_or_else(PoisonError::into_inner);
            if durable.contains(directory) {
                match mode {
                    PutMode::Create => fs::hard_link(&temporary.path, &path)?,
                    PutMode::Replace => {
                        fs::rename(&temporary.path, &path)?;
                        temporary.disarm();
                    }
                }
                flush_directory(directory)?;
                return Ok(stat);
            }
            drop(durable);
            // A delete may remove the directory before the lock is reacquired.
            self.make_durable(directory)?;
        }
        Err(io::Error::new(io::ErrorKind::ResourceBusy, "concurrent deletes keep removing the directory"))
    }

    /// Opens the object at `path`.
    pub fn get(&self, path: &Path) -> io::Result<StoredObject> {
        let file = File::open(self.objects.join(path))?;
        let stat = FileStat::of(&file.metadata()?)?;
        Ok(StoredObject { file, stat })
    }

    /// Metadata of the object at `path`.
    pub fn head(&self, path: &Path) -> io::Result<FileStat> {
        FileStat::of(&fs::metadata(self.objects.join(path))?)
    }

    /// Durably deletes the object at `path` and the directories that become empty. Succeeds if
    /// there is no object.
    pub fn delete(&self, path: &Path) -> io::Result<()> {
        let path = self.objects.join(path);
        match fs::remove_file(&path) {
            Ok(()) => {}
            Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {
                return Ok(());
            }
            Err(error) => return Err(error),
        }
        let Some(parent) = path.parent() else { return Ok(()) };
        let mut durable = self.durable.write().unwrap_or_else(PoisonError::into_inner);
        let mut directory = parent;
        while directory != self.objects && fs::remove_dir(directory).is_ok() {
            durable.remove(directory);
            let Some(above) = directory.parent() else { break };
            directory = above;
        }
        drop(durable);
        // A concurrent delete may have removed the directory and flushed its parent.
        match flush_directory(directory) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            flushed => flushed,
        }
    }

    /// Free space of the file system.
    pub fn free_bytes(&self) -> io::Result<u64> {
        let space = rustix::fs::statvfs(&self.objects)?;
        Ok(space.f_bavail.saturating_mul(space.f_frsize))
    }

    /// Capacity of the file system.
    pub fn size_bytes(&self) -> io::Result<u64> {
        let space = rustix::fs::statvfs(&self.objects)?;
        Ok(space.f_blocks.saturating_mul(space.f_frsize))
    }

    fn make_durable(&self, directory: &Path) -> io::Result<()> {
        let mut durable = self.durable.write().unwrap_or_else(PoisonError::into_inner);
        if durable.len() >= DURABLE_DIRECTORIES_MAX {
            durable.clear();
            durable.insert(self.objects.clone());
        }
        let missing: Vec<&Path> = directory.ancestors().take_while(|above| !durable.contains(*above)).collect();
        for step in missing.into_iter().rev() {
            match fs::create_dir(step) {
                Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
                _ => {}
            }
            // Also if it existed: a killed process may have created it without the flush.
            flush_directory(step.parent().ok_or(io::ErrorKind::InvalidInput)?)?;
            durable.insert(step.to_owned());
        }
        Ok(())
    }
}

/// File being received; removed on drop unless it was published.
#[derive(Debug)]
pub struct TemporaryFile {
    /// Open for writing and reading.
    pub file: File,
    path: PathBuf,
    keep: bool,
}

impl TemporaryFile {
    /// Creates the file at `path`.
    pub fn create(path: PathBuf) -> io::Result<Self> {
        let file = File::options().read(true).write(true).create_new(true).open(&path)?;
        Ok(Self { file, path, keep: false })
    }

    /// Flushes the file and durably renames it to `path` in the same directory.
    pub fn persist(self, path: &Path) -> io::Result<FileStat> {
        self.file.sync_all()?;
        let stat = FileStat::of(&self.file.metadata()?)?;
        fs::rename(&self.path, path)?;
        self.disarm();
        flush_directory(path.parent().ok_or(io::ErrorKind::InvalidInput)?)?;
        Ok(stat)
    }

    fn disarm(mut self) {
        self.keep = true;
    }
}

impl Drop for TemporaryFile {
    fn drop(&mut self) {
        if !self.keep {
            // On failure, the next start removes it.
            let _ = fs::remove_file(&self.path);
        }
    }
}

/// 128 random bits in hexadecimal.
pub fn random_name() -> io::Result<String> {
    let mut bytes = [0; 16];
    File::open("/dev/urandom")?.read_exact(&mut bytes)?;
    Ok(hex::encode(bytes))
}

/// Flushes the entries of a directory.
pub fn flush_directory(directory: &Path) -> io::Result<()> {
    File::open(directory)?.sync_all()
}

fn wait_for(lock: &File, data: &Path) -> io::Result<()> {
    let began = Instant::now();
    loop {
        match lock.try_lock() {
            Ok(()) => return Ok(()),
            Err(TryLockError::Error(error)) => return Err(with_path(&error, data)),
            Err(TryLockError::WouldBlock) if began.elapsed() >= LOCK_WAIT_MAX => {
                let text = format!("{}: locked by another process; run one store per directory", data.display());
                return Err(io::Error::new(io::ErrorKind::ResourceBusy, text));
            }
            Err(TryLockError::WouldBlock) => std::thread::sleep(std::time::Duration::from_millis(100)),
        }
    }
}

fn with_path(error: &io::Error, path: &Path) -> io::Error {
    io::Error::new(error.kind(), format!("{}: {error}", path.display()))
}
