//! Multipart uploads in progress.
//!
//! ```text
//! <uploads>/<namespace>.<name>/<upload id>/key      the key it is for
//!                                          00001    a part, flushed
//! ```
//! An upload survives a restart of the store, so a trainer does not begin again; an abandoned one is removed by age.

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
    disk::{Disk, Facts, Placement, Temporary, flush_directory, random_name},
    error::from_io,
    limits::{CHUNK_BYTES, OBJECT_BYTES_MAX, PARTS_MAX, UPLOAD_AGE_MAX, UPLOADS_PER_RECOMMENDER_MAX},
    receive,
};

const KEY_FILE: &str = "key";

/// A part, as the client names it when it completes the upload.
#[derive(Clone, Debug)]
pub struct PartName {
    /// 1 to [`PARTS_MAX`].
    pub number: i32,
    /// From the answer to the part.
    pub etag: String,
}

/// Begins an upload to `key` and returns its id.
pub fn begin(disk: &Disk, owner: &AccessKeyId, key: &str) -> io::Result<String> {
    let home = home(disk, owner);
    fs::create_dir_all(&home)?;
    make_room(&home)?;
    let id = random_name()?;
    let upload = home.join(&id);
    fs::create_dir(&upload)?;
    let mut file = File::create_new(upload.join(KEY_FILE))?;
    file.write_all(key.as_bytes())?;
    file.sync_all()?;
    flush_directory(&upload)?;
    flush_directory(&home)?;
    flush_directory(disk.uploads())?;
    Ok(id)
}

/// The directory of an upload that this owner began for this key.
pub fn find(disk: &Disk, owner: &AccessKeyId, id: &str, key: &str) -> S3Result<PathBuf> {
    let is_id = id.len() == 32 && id.bytes().all(|b| b.is_ascii_hexdigit());
    let upload = home(disk, owner).join(id);
    if is_id && fs::read(upload.join(KEY_FILE)).is_ok_and(|found| found == key.as_bytes()) {
        return Ok(upload);
    }
    Err(no_such_upload())
}

/// A fresh file to receive a part into.
pub fn temporary_part(upload: &Path) -> io::Result<Temporary> {
    Temporary::create(upload.join(format!("{}.tmp", random_name()?)))
}

/// Settles a received part; one of the same number is replaced.
pub fn settle_part(upload: &Path, number: i32, part: Temporary) -> S3Result<Facts> {
    let place = upload.join(part_name(number)?);
    part.settle(&place).map_err(|error| match error.kind() {
        io::ErrorKind::NotFound => no_such_upload(),
        _ => from_io("store a part", &error),
    })
}

/// Puts the parts together and makes them the object at `place`.
pub fn complete(disk: &Disk, upload: &Path, parts: &[PartName], rule: &PutRule, place: &Path) -> S3Result<Facts> {
    if rule.placement == Placement::Create && disk.head(place).is_ok() {
        // Saves the copy; what is created meanwhile is noticed at the end.
        return Err(crate::error::precondition_failed());
    }
    let mut files = Vec::with_capacity(parts.len());
    let (mut last, mut bytes) = (0, 0_u64);
    for part in parts {
        if part.number <= last {
            return Err(s3_error!(InvalidPartOrder, "part {}: expected ascending numbers", part.number));
        }
        last = part.number;
        let path = upload.join(part_name(part.number)?);
        let file = File::open(&path).map_err(|_| invalid_part(part.number))?;
        let facts =
            file.metadata().and_then(|metadata| Facts::of(&metadata)).map_err(|e| from_io("read a part", &e))?;
        if facts.etag != part.etag {
            return Err(invalid_part(part.number));
        }
        bytes += facts.bytes;
        if bytes > OBJECT_BYTES_MAX {
            return Err(receive::too_large());
        }
        files.push(path);
    }
    if files.is_empty() {
        return Err(s3_error!(InvalidRequest, "an upload needs at least one part"));
    }
    let joined = join(disk, &files, rule.digest.as_ref())?;
    let facts = disk.publish(joined, place, rule.placement).map_err(|e| from_io("store an object", &e))?;
    remove(upload);
    Ok(facts)
}

/// Forgets an upload and its parts.
pub fn remove(upload: &Path) {
    if let Err(error) = fs::remove_dir_all(upload)
        && error.kind() != io::ErrorKind::NotFound
    {
        tracing::warn!(path = %upload.display(), %error, "cannot remove an upload; the next sweep tries again");
    }
}

/// Removes uploads above [`UPLOAD_AGE_MAX`] and says how many.
pub fn sweep(disk: &Disk) -> io::Result<usize> {
    let mut removed = 0;
    for home in fs::read_dir(disk.uploads())? {
        let home = home?.path();
        for (age, upload) in by_age(&home)? {
            if age.elapsed().is_ok_and(|age| age > UPLOAD_AGE_MAX) {
                remove(&upload);
                removed += 1;
            }
        }
        // Fails, as it should, while there are more.
        let _ = fs::remove_dir(&home);
    }
    Ok(removed)
}

/// The answer when there is no such upload (any more).
pub fn no_such_upload() -> S3Error {
    s3_error!(NoSuchUpload, "no such upload; it was completed, aborted, or given up, or it is another key's")
}

fn home(disk: &Disk, owner: &AccessKeyId) -> PathBuf {
    disk.uploads().join(format!("{}.{}", owner.namespace, owner.name))
}

fn part_name(number: i32) -> S3Result<String> {
    if (1..=PARTS_MAX).contains(&number) {
        return Ok(format!("{number:05}"));
    }
    Err(s3_error!(InvalidArgument, "part number {number}: expected 1 to {PARTS_MAX}"))
}

fn invalid_part(number: i32) -> S3Error {
    s3_error!(InvalidPart, "part {number} was not received, or has another etag")
}

fn join(disk: &Disk, files: &[PathBuf], digest: Option<&Digest>) -> S3Result<Temporary> {
    let failed = |e: io::Error| from_io("put parts together", &e);
    let mut joined = disk.temporary().map_err(failed)?;
    let Some(expected) = digest else {
        for file in files {
            io::copy(&mut File::open(file).map_err(failed)?, &mut joined.file).map_err(failed)?;
        }
        return Ok(joined);
    };
    let mut hash = s3s::crypto::Sha256::new();
    let mut buffer = vec![0; CHUNK_BYTES];
    for file in files {
        let mut file = File::open(file).map_err(failed)?;
        loop {
            let read = file.read(&mut buffer).map_err(failed)?;
            let Some(chunk) = buffer.get(..read).filter(|chunk| !chunk.is_empty()) else { break };
            hash.update(chunk);
            joined.file.write_all(chunk).map_err(failed)?;
        }
    }
    let actual = Digest::from_hash(hash.finalize());
    if actual == *expected { Ok(joined) } else { Err(receive::not_its_name(&actual)) }
}

/// Uploads with the time of their last change, oldest first.
fn by_age(home: &Path) -> io::Result<Vec<(SystemTime, PathBuf)>> {
    let mut uploads = Vec::new();
    for upload in fs::read_dir(home)? {
        let upload = upload?;
        uploads.push((upload.metadata()?.modified()?, upload.path()));
    }
    uploads.sort();
    Ok(uploads)
}

fn make_room(home: &Path) -> io::Result<()> {
    let uploads = by_age(home)?;
    let surplus = (uploads.len() + 1).saturating_sub(UPLOADS_PER_RECOMMENDER_MAX);
    for (_, upload) in uploads.into_iter().take(surplus) {
        remove(&upload);
    }
    Ok(())
}
