//! Multipart uploads in progress.
//!
//! ```text
//! <uploads>/<namespace>.<name>/<upload id>/key      object key of the upload
//!                                          00001    a part, flushed
//! ```
//! An upload survives a restart of the store, so a trainer need not start over. An abandoned upload
//! is removed by age. An upload may end at any time, so a missing file is never an error of
//! another.

use std::{
    fs::{self, File},
    io::{self, Read as _, Write as _},
    path::{Path, PathBuf},
    time::SystemTime,
};

use s3s::{S3Error, S3Result, crypto::Checksum as _, s3_error};
use sidecar_contract::{Digest, credentials::AccessKeyId};

use crate::{
    access::PutRule,
    disk::{Disk, FileStat, PutMode, TemporaryFile, flush_directory, random_name},
    error::from_io,
    limits::{
        CHUNK_BYTES, OBJECT_BYTES_MAX, PARTS_MAX, PUBLISH_ATTEMPTS_MAX, UPLOAD_AGE_MAX, UPLOADS_PER_RECOMMENDER_MAX,
    },
    receive,
};

const KEY_FILE: &str = "key";

/// Part reference in a client's request to complete an upload.
#[derive(Clone, Debug)]
pub struct PartName {
    /// 1 to [`PARTS_MAX`].
    pub number: i32,
    /// ETag from the response to the part's upload.
    pub etag: String,
}

/// Begins an upload to `key` and returns its id. The upload appears as a whole, so other uploads of
/// the owner may begin and end meanwhile.
pub fn begin(disk: &Disk, owner: &AccessKeyId, key: &str) -> io::Result<String> {
    let id = random_name()?;
    let staged = disk.temporary_directory(&id)?;
    let mut file = File::create_new(staged.join(KEY_FILE))?;
    file.write_all(key.as_bytes())?;
    file.sync_all()?;
    flush_directory(&staged)?;
    let owner_directory = owner_directory(disk, owner);
    evict_oldest(&owner_directory)?;
    for _ in 0..PUBLISH_ATTEMPTS_MAX {
        if let Err(error) = fs::create_dir(&owner_directory)
            && error.kind() != io::ErrorKind::AlreadyExists
        {
            return Err(error);
        }
        let published = fs::rename(&staged, owner_directory.join(&id)).and_then(|()| {
            flush_directory(&owner_directory)?;
            flush_directory(disk.uploads())
        });
        match published {
            // A sweep has removed the empty directory of the owner.
            Err(error) if error.kind() == io::ErrorKind::NotFound && staged.exists() => {}
            // Other uploads of the owner have evicted this one.
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(id),
            published => return published.map(|()| id),
        }
    }
    Err(io::Error::new(io::ErrorKind::ResourceBusy, "concurrent sweeps keep removing the directory"))
}

/// Directory of the upload that this owner began for this key.
pub fn find(disk: &Disk, owner: &AccessKeyId, id: &str, key: &str) -> S3Result<PathBuf> {
    let is_id = id.len() == 32 && id.bytes().all(|b| b.is_ascii_hexdigit());
    let upload = owner_directory(disk, owner).join(id);
    if is_id && fs::read(upload.join(KEY_FILE)).is_ok_and(|found| found == key.as_bytes()) {
        return Ok(upload);
    }
    Err(no_such_upload())
}

/// Creates a temporary file for a part.
pub fn temporary_part(upload: &Path) -> io::Result<TemporaryFile> {
    TemporaryFile::create(upload.join(format!("{}.tmp", random_name()?)))
}

/// Durably stores a received part; it replaces a part of the same number.
pub fn store_part(upload: &Path, number: i32, part: TemporaryFile) -> S3Result<FileStat> {
    let target = upload.join(part_name(number)?);
    part.persist(&target).map_err(|error| match error.kind() {
        io::ErrorKind::NotFound => no_such_upload(),
        _ => from_io("store a part", &error),
    })
}

/// Concatenates the parts and publishes the result as the object at `target`.
pub fn complete(disk: &Disk, upload: &Path, parts: &[PartName], rule: &PutRule, target: &Path) -> S3Result<FileStat> {
    if rule.mode == PutMode::Create && disk.head(target).is_ok() {
        // Avoids the copy. `publish` detects an object that is created in the meantime.
        return Err(crate::error::precondition_failed());
    }
    let mut files = Vec::with_capacity(parts.len());
    let (mut last, mut bytes) = (0, 0_u64);
    for part in parts {
        if part.number <= last {
            return Err(s3_error!(InvalidPartOrder, "part {}: expected ascending part numbers", part.number));
        }
        last = part.number;
        let path = upload.join(part_name(part.number)?);
        let file = File::open(&path).map_err(|_| invalid_part(part.number))?;
        let stat =
            file.metadata().and_then(|metadata| FileStat::of(&metadata)).map_err(|e| from_io("read a part", &e))?;
        if stat.etag != part.etag {
            return Err(invalid_part(part.number));
        }
        bytes += stat.bytes;
        if bytes > OBJECT_BYTES_MAX {
            return Err(receive::too_large());
        }
        files.push(path);
    }
    if files.is_empty() {
        return Err(s3_error!(InvalidRequest, "expected one or more parts"));
    }
    let object = concatenate(disk, &files, rule.digest.as_ref())?;
    let stat = disk.publish(object, target, rule.mode).map_err(|e| from_io("store an object", &e))?;
    remove(upload);
    Ok(stat)
}

/// Deletes an upload and its parts.
pub fn remove(upload: &Path) {
    if let Err(error) = fs::remove_dir_all(upload)
        && error.kind() != io::ErrorKind::NotFound
    {
        tracing::warn!(path = %upload.display(), %error, "cannot remove an upload; the next sweep retries");
    }
}

/// Removes uploads older than [`UPLOAD_AGE_MAX`] and returns their number.
pub fn sweep(disk: &Disk) -> io::Result<usize> {
    let mut removed = 0;
    for owner_directory in fs::read_dir(disk.uploads())? {
        let owner_directory = owner_directory?.path();
        for (age, upload) in by_age(&owner_directory)? {
            if age.elapsed().is_ok_and(|age| age > UPLOAD_AGE_MAX) {
                remove(&upload);
                removed += 1;
            }
        }
        // Fails, as intended, while the directory has more uploads.
        let _ = fs::remove_dir(&owner_directory);
    }
    Ok(removed)
}

/// S3 error of an upload that does not exist or no longer exists.
pub fn no_such_upload() -> S3Error {
    s3_error!(NoSuchUpload, "no such upload: it was completed, aborted or expired, or it belongs to another key")
}

fn owner_directory(disk: &Disk, owner: &AccessKeyId) -> PathBuf {
    disk.uploads().join(format!("{}.{}", owner.namespace, owner.name))
}

fn part_name(number: i32) -> S3Result<String> {
    if (1..=PARTS_MAX).contains(&number) {
        return Ok(format!("{number:05}"));
    }
    Err(s3_error!(InvalidArgument, "part number {number}: expected 1 to {PARTS_MAX}"))
}

fn invalid_part(number: i32) -> S3Error {
    s3_error!(InvalidPart, "part {number} was not uploaded or has a different ETag")
}

fn concatenate(disk: &Disk, files: &[PathBuf], digest: Option<&Digest>) -> S3Result<TemporaryFile> {
    let failed = |e: io::Error| from_io("concatenate the parts", &e);
    let mut object = disk.temporary().map_err(failed)?;
    let Some(expected) = digest else {
        for file in files {
            io::copy(&mut File::open(file).map_err(failed)?, &mut object.file).map_err(failed)?;
        }
        return Ok(object);
    };
    let mut hash = s3s::crypto::Sha256::new();
    let mut buffer = vec![0; CHUNK_BYTES];
    for file in files {
        let mut file = File::open(file).map_err(failed)?;
        loop {
            let read = file.read(&mut buffer).map_err(failed)?;
            let Some(chunk) = buffer.get(..read).filter(|chunk| !chunk.is_empty()) else { break };
            hash.update(chunk);
            object.file.write_all(chunk).map_err(failed)?;
        }
    }
    let actual = Digest::from_hash(hash.finalize());
    if actual == *expected { Ok(object) } else { Err(receive::digest_mismatch(&actual)) }
}

/// Uploads with their modification times, oldest first. Uploads that end meanwhile are left out.
fn by_age(owner_directory: &Path) -> io::Result<Vec<(SystemTime, PathBuf)>> {
    let mut uploads = Vec::new();
    for upload in unless_missing(fs::read_dir(owner_directory))?.into_iter().flatten() {
        let upload = upload?;
        if let Some(metadata) = unless_missing(upload.metadata())? {
            uploads.push((metadata.modified()?, upload.path()));
        }
    }
    uploads.sort();
    Ok(uploads)
}

fn unless_missing<T>(result: io::Result<T>) -> io::Result<Option<T>> {
    match result {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        result => result.map(Some),
    }
}

fn evict_oldest(owner_directory: &Path) -> io::Result<()> {
    let uploads = by_age(owner_directory)?;
    let surplus = (uploads.len() + 1).saturating_sub(UPLOADS_PER_RECOMMENDER_MAX);
    for (_, upload) in uploads.into_iter().take(surplus) {
        remove(&upload);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::sync::Barrier;

    use sidecar_contract::credentials::Role;

    use super::*;

    /// Begun uploads of each thread.
    const UPLOADS: usize = 300;

    #[test]
    fn an_upload_begins_while_others_end() {
        let directory = tempfile::tempdir().unwrap();
        let disk = Disk::open(directory.path()).unwrap();
        let owner = AccessKeyId { namespace: "shop".into(), name: "movies".into(), role: Role::Train };
        let start = Barrier::new(4);
        std::thread::scope(|scope| {
            for thread in 0..4 {
                let (disk, owner, start) = (&disk, &owner, &start);
                scope.spawn(move || {
                    start.wait();
                    for number in 0..UPLOADS {
                        let key = format!("{thread}/{number}");
                        let id = begin(disk, owner, &key).unwrap();
                        remove(&find(disk, owner, &id, &key).unwrap());
                        sweep(disk).unwrap();
                    }
                });
            }
        });
        assert_eq!(fs::read_dir(disk.uploads()).unwrap().count(), 0);
    }

    #[test]
    fn the_oldest_uploads_make_room_for_new_ones() {
        let directory = tempfile::tempdir().unwrap();
        let disk = Disk::open(directory.path()).unwrap();
        let owner = AccessKeyId { namespace: "shop".into(), name: "movies".into(), role: Role::Train };
        let ids: Vec<String> = (0..UPLOADS_PER_RECOMMENDER_MAX + 3)
            .map(|number| {
                let id = begin(&disk, &owner, "key").unwrap();
                let time = SystemTime::UNIX_EPOCH + std::time::Duration::from_secs(number as u64);
                File::open(owner_directory(&disk, &owner).join(&id)).unwrap().set_modified(time).unwrap();
                id
            })
            .collect();
        let found: Vec<bool> = ids.iter().map(|id| find(&disk, &owner, id, "key").is_ok()).collect();
        let expected: Vec<bool> = (0..ids.len()).map(|number| number >= 3).collect();
        assert_eq!(found, expected);
    }
}
