//! Reads catalogues. A catalogue is validated when it is opened, so that every later access is safe
//! and cheap.

use std::{fmt, ops::Range, path::Path};

use sidecar_contract::Digest;
use tensor_file::{Buffer, Container, Dtype, Number, PrivateFile, numbers};

use crate::{
    bits,
    column::{Category, Numbers},
    error::CatalogueError,
    metadata::{ColumnKind, Metadata},
    texts::Texts,
};

/// Validated catalogue. For rows that it does not have, accessors return `None` or false.
pub struct Catalogue {
    buffer: Buffer,
    metadata: Metadata,
    items: usize,
    available: Option<Range<usize>>,
    available_items: usize,
    titles: Option<TextRanges>,
    columns: Vec<ColumnRanges>,
}

/// Tensors of a list of texts.
struct TextRanges {
    bytes: Range<usize>,
    offsets: Range<usize>,
}

/// Tensors of a column.
enum ColumnRanges {
    Category {
        names: TextRanges,
        starts: Range<usize>,
        lists: Range<usize>,
        frequent: Range<usize>,
        bitsets: Range<usize>,
    },
    Numbers {
        values: Range<usize>,
        sorted: Range<usize>,
    },
}

/// A column with its contents.
#[derive(Clone, Copy, Debug)]
pub(crate) enum ColumnView<'a> {
    Category(Category<'a>),
    Numbers(Numbers<'a>, ColumnKind),
}

impl Catalogue {
    /// Reads a copy of the file into memory and validates everything except its digest. The file
    /// may be overwritten or removed while the catalogue is in use.
    pub fn read(path: &Path) -> Result<Self, CatalogueError> {
        let buffer = Buffer::read(path).map_err(|source| CatalogueError::Read { path: path.to_owned(), source })?;
        Self::check(buffer)
    }

    /// Like [`Self::read`], but maps the file: the kernel reads pages when they are used, and can
    /// reclaim them. A rename over the file and its removal are safe.
    pub fn map(file: &PrivateFile) -> Result<Self, CatalogueError> {
        let path = file.path();
        let buffer = Buffer::map(file).map_err(|source| CatalogueError::Read { path: path.to_owned(), source })?;
        Self::check(buffer)
    }

    /// Like [`Self::read`], from a copy of bytes in memory.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, CatalogueError> {
        Self::check(Buffer::copy_of(bytes))
    }

    fn check(buffer: Buffer) -> Result<Self, CatalogueError> {
        let container = Container::parse(buffer.bytes())?;
        let metadata = Metadata::from_json(&container.metadata)?;
        let items = usize::try_from(metadata.items)
            .map_err(|_| CatalogueError::NotACatalogue("the number of items exceeds the address space".to_owned()))?;
        let tensors = Tensors { container: &container };
        let available = tensors.optional("available", Dtype::U64, Some(bits::words(items)))?;
        let has_titles = container.has("titles.bytes");
        let titles = has_titles.then(|| tensors.texts("titles", Some(items))).transpose()?;
        let columns = metadata.columns.iter().enumerate().map(|(index, column)| match column.kind {
            ColumnKind::Category => tensors.category(index, items),
            ColumnKind::Number | ColumnKind::Time => tensors.numbers(index, items),
        });
        let columns = columns.collect::<Result<Vec<_>, CatalogueError>>()?;
        let mut catalogue = Self { buffer, metadata, items, available, available_items: items, titles, columns };
        catalogue.check_contents()?;
        catalogue.available_items = catalogue.available().map_or(items, bits::count);
        Ok(catalogue)
    }

    fn check_contents(&self) -> Result<(), CatalogueError> {
        if self.available().is_some_and(|available| !bits::is_valid(available, self.items)) {
            return Err(CatalogueError::Corrupt {
                tensor: "available".to_owned(),
                problem: "a bit beyond the last item is set".to_owned(),
            });
        }
        if let Some(TextRanges { bytes, offsets }) = &self.titles {
            Texts::check("titles", self.numbers(bytes), self.numbers(offsets))?;
        }
        for (index, ranges) in self.columns.iter().enumerate() {
            let name = format!("column.{index}");
            if let ColumnRanges::Category { names: TextRanges { bytes, offsets }, .. } = ranges {
                Texts::check(&name, self.numbers(bytes), self.numbers(offsets))?;
            }
            match self.view(index) {
                Some(ColumnView::Category(category)) => category.check(&name, self.items)?,
                Some(ColumnView::Numbers(numbers, _)) => numbers.check(&name)?,
                None => {}
            }
        }
        Ok(())
    }

    /// Verifies that the content has this digest.
    pub fn verify_digest(&self, expected: &Digest) -> Result<(), CatalogueError> {
        let found = self.digest();
        if found == *expected { Ok(()) } else { Err(CatalogueError::WrongDigest { expected: expected.clone(), found }) }
    }

    /// Verifies that the catalogue has the items of this revision.
    pub fn verify_revision(&self, revision: &Digest, items: usize) -> Result<(), CatalogueError> {
        if self.metadata.revision == *revision && self.items == items {
            return Ok(());
        }
        Err(CatalogueError::OtherRevision {
            expected: revision.clone(),
            items: items as u64,
            found: self.metadata.revision.clone(),
            found_items: self.metadata.items,
        })
    }

    /// Computes the SHA-256 of all bytes.
    pub fn digest(&self) -> Digest {
        Digest::of(self.buffer.bytes())
    }

    /// Length of the file in bytes.
    pub fn size_bytes(&self) -> u64 {
        self.buffer.bytes().len() as u64
    }

    /// Version, which answers name.
    pub fn version(&self) -> &str {
        &self.metadata.version
    }

    /// SHA-256 of the snapshot whose items these are.
    pub fn revision(&self) -> &Digest {
        &self.metadata.revision
    }

    /// Number of items.
    pub fn items(&self) -> usize {
        self.items
    }

    /// Number of items that may be recommended.
    pub fn available_items(&self) -> usize {
        self.available_items
    }

    /// Title of an item, if it has one.
    pub fn title(&self, item: u32) -> Option<&str> {
        let TextRanges { bytes, offsets } = self.titles.as_ref()?;
        let titles = Texts::checked(self.numbers(bytes), self.numbers(offsets));
        titles.get(item as usize).filter(|title| !title.is_empty())
    }

    /// Whether an item may be recommended; false for an unknown row.
    pub fn is_available(&self, item: u32) -> bool {
        match self.available() {
            Some(available) => bits::contains(available, item),
            None => (item as usize) < self.items,
        }
    }

    /// Names and kinds of the columns, sorted by name.
    pub fn columns(&self) -> impl ExactSizeIterator<Item = (&str, ColumnKind)> {
        self.metadata.columns.iter().map(|column| (column.name.as_str(), column.kind))
    }

    /// The bits of available items; `None` if all are available.
    pub(crate) fn available(&self) -> Option<&[u64]> {
        self.available.as_ref().map(|range| self.numbers(range))
    }

    /// A column by its index.
    pub(crate) fn view(&self, index: usize) -> Option<ColumnView<'_>> {
        let kind = self.metadata.columns.get(index)?.kind;
        Some(match self.columns.get(index)? {
            ColumnRanges::Category { names: TextRanges { bytes, offsets }, starts, lists, frequent, bitsets } => {
                ColumnView::Category(Category {
                    names: Texts::checked(self.numbers(bytes), self.numbers(offsets)),
                    starts: self.numbers(starts),
                    lists: self.numbers(lists),
                    frequent: self.numbers(frequent),
                    bitsets: self.numbers(bitsets),
                })
            }
            ColumnRanges::Numbers { values, sorted } => {
                ColumnView::Numbers(Numbers { values: self.numbers(values), sorted: self.numbers(sorted) }, kind)
            }
        })
    }

    /// Elements of a tensor. `T` is the type that its range was found with.
    fn numbers<T: Number>(&self, range: &Range<usize>) -> &[T] {
        self.buffer.bytes().get(range.clone()).and_then(numbers).unwrap_or_default()
    }
}

/// Finds tensors, and validates their types and shapes.
struct Tensors<'a> {
    container: &'a Container,
}

impl Tensors<'_> {
    /// A list of numbers; with a length that only the file has if `length` is `None`.
    fn list(&self, name: &str, dtype: Dtype, length: Option<usize>) -> Result<Range<usize>, CatalogueError> {
        let length = length.map_or_else(|| self.container.length(name, 0).unwrap_or_default(), |length| length as u64);
        Ok(self.container.tensor(name, dtype, &[length])?)
    }

    fn optional(
        &self,
        name: &str,
        dtype: Dtype,
        length: Option<usize>,
    ) -> Result<Option<Range<usize>>, CatalogueError> {
        self.container.has(name).then(|| self.list(name, dtype, length)).transpose()
    }

    fn texts(&self, name: &str, rows: Option<usize>) -> Result<TextRanges, CatalogueError> {
        Ok(TextRanges {
            bytes: self.list(&format!("{name}.bytes"), Dtype::U8, None)?,
            offsets: self.list(&format!("{name}.offsets"), Dtype::U32, rows.map(|rows| rows + 1))?,
        })
    }

    fn category(&self, index: usize, items: usize) -> Result<ColumnRanges, CatalogueError> {
        let name = |part: &str| format!("column.{index}.{part}");
        let names = self.texts(&name("names"), None)?;
        let starts = self.container.length(&name("names.offsets"), 0).and_then(|length| usize::try_from(length).ok());
        let frequent = self.list(&name("frequent"), Dtype::U32, None)?;
        let words = (frequent.len() / size_of::<u32>()).saturating_mul(bits::words(items));
        Ok(ColumnRanges::Category {
            names,
            starts: self.list(&name("starts"), Dtype::U32, starts)?,
            lists: self.list(&name("lists"), Dtype::U32, None)?,
            frequent,
            bitsets: self.list(&name("bitsets"), Dtype::U64, Some(words))?,
        })
    }

    fn numbers(&self, index: usize, items: usize) -> Result<ColumnRanges, CatalogueError> {
        Ok(ColumnRanges::Numbers {
            values: self.list(&format!("column.{index}.values"), Dtype::F64, Some(items))?,
            sorted: self.list(&format!("column.{index}.sorted"), Dtype::U32, None)?,
        })
    }
}

impl fmt::Debug for Catalogue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Catalogue")
            .field("metadata", &self.metadata)
            .field("bytes", &self.buffer.bytes().len())
            .finish_non_exhaustive()
    }
}
