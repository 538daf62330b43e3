//! Writes catalogues from values in any order.

use std::{
    borrow::Cow,
    collections::{BTreeMap, HashMap},
    io::{self, Write},
};

use sidecar_contract::Digest;
use tensor_file::{Dtype, PlannedTensor, TensorWriter, Written, head};

use crate::{
    bits,
    error::CatalogueError,
    limits::{COLUMN_BYTES_FREE, COLUMN_BYTES_PER_ITEM_MAX, COLUMNS_MAX, FORMAT_VERSION, VALUE_BYTES_MAX, VALUES_MAX},
    metadata::{Column, ColumnKind, Metadata, check_version, is_column_name},
};

/// Collects a catalogue item by item, in any order, and writes it. Without any call an item has no
/// title and no values and is available.
#[derive(Debug)]
pub struct CatalogueWriter {
    version: String,
    revision: Digest,
    items: usize,
    titles: Titles,
    available: Vec<u64>,
    columns: Vec<ColumnBuilder>,
}

/// A column of a [`CatalogueWriter`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ColumnId(usize);

/// Titles in the order in which they were added.
#[derive(Debug)]
struct Titles {
    bytes: Vec<u8>,
    /// Start and length of each item's title.
    spans: Vec<(u32, u32)>,
}

#[derive(Debug)]
struct ColumnBuilder {
    name: String,
    kind: ColumnKind,
    values: Values,
}

#[derive(Debug)]
enum Values {
    Category {
        numbers: HashMap<Box<str>, u32>,
        /// Value and item.
        pairs: Vec<(u32, u32)>,
    },
    /// NaN: no value.
    Numbers(Vec<f64>),
}

impl CatalogueWriter {
    /// A catalogue of the items of a revision.
    ///
    /// # Errors
    /// A version that is not valid, or too many items.
    pub fn new(version: &str, revision: &Digest, items: usize) -> Result<Self, CatalogueError> {
        check_version(version)?;
        if u32::try_from(items).is_err() {
            return Err(CatalogueError::TooManyItems(items));
        }
        Ok(Self {
            version: version.to_owned(),
            revision: revision.clone(),
            items,
            titles: Titles { bytes: Vec::new(), spans: Vec::new() },
            available: bits::all(items),
            columns: Vec::new(),
        })
    }

    /// Adds a column. The order of columns has no effect.
    ///
    /// # Errors
    /// A name that is not valid or that another column has, or too many columns.
    pub fn column(&mut self, name: &str, kind: ColumnKind) -> Result<ColumnId, CatalogueError> {
        if !is_column_name(name) || self.columns.iter().any(|column| column.name == name) {
            return Err(column_error(name, "the name is empty, too long or not unique".to_owned()));
        }
        if self.columns.len() == COLUMNS_MAX {
            return Err(column_error(name, format!("a catalogue has at most {COLUMNS_MAX} columns")));
        }
        let values = match kind {
            ColumnKind::Category => Values::Category { numbers: HashMap::new(), pairs: Vec::new() },
            ColumnKind::Number | ColumnKind::Time => Values::Numbers(vec![f64::NAN; self.items]),
        };
        self.columns.push(ColumnBuilder { name: name.to_owned(), kind, values });
        Ok(ColumnId(self.columns.len() - 1))
    }

    /// Sets the title of an item. The last one counts.
    ///
    /// # Errors
    /// More than 4 GiB of titles.
    pub fn set_title(&mut self, item: u32, title: &str) -> Result<(), CatalogueError> {
        let Titles { bytes, spans } = &mut self.titles;
        spans.resize(self.items, (0, 0));
        let (start, len) = (u32::try_from(bytes.len()), u32::try_from(title.len()));
        let (Ok(start), Ok(len), Ok(_)) = (start, len, u32::try_from(bytes.len() + title.len())) else {
            return Err(column_error("titles", "all titles together have more than 4 GiB: shorten them".to_owned()));
        };
        if let Some(span) = spans.get_mut(item as usize) {
            *span = (start, len);
            bytes.extend_from_slice(title.as_bytes());
        }
        Ok(())
    }

    /// Sets whether an item may be recommended.
    pub fn set_available(&mut self, item: u32, is_available: bool) {
        let change = if is_available { bits::insert } else { bits::remove };
        if (item as usize) < self.items {
            change(&mut self.available, item);
        }
    }

    /// Adds a value to an item in a category column. An empty text and a value that the item has
    /// are ignored.
    ///
    /// # Errors
    /// A column of numbers, a value that is too long, or too many distinct values.
    pub fn add_value(&mut self, column: ColumnId, item: u32, value: &str) -> Result<(), CatalogueError> {
        let items = self.items;
        let Some(ColumnBuilder { name, values, .. }) = self.columns.get_mut(column.0) else { return Ok(()) };
        let Values::Category { numbers, pairs } = values else {
            return Err(column_error(name, "the column has numbers, not texts".to_owned()));
        };
        check_value(name, value)?;
        if value.is_empty() || item as usize >= items {
            return Ok(());
        }
        let number = match numbers.get(value) {
            Some(number) => *number,
            None if numbers.len() == VALUES_MAX => {
                let problem =
                    format!("more than {VALUES_MAX} distinct values: choose a column whose values many items share");
                return Err(column_error(name, problem));
            }
            None => {
                let number = u32::try_from(numbers.len()).unwrap_or(u32::MAX);
                numbers.insert(value.into(), number);
                number
            }
        };
        pairs.push((number, item));
        Ok(())
    }

    /// Sets the number of an item, or its time in seconds since 1970. The last one counts. A number
    /// that is not finite is no value.
    ///
    /// # Errors
    /// A category column.
    pub fn set_number(&mut self, column: ColumnId, item: u32, number: f64) -> Result<(), CatalogueError> {
        let Some(ColumnBuilder { name, values, .. }) = self.columns.get_mut(column.0) else { return Ok(()) };
        let Values::Numbers(numbers) = values else {
            return Err(column_error(name, "the column has categories, not numbers".to_owned()));
        };
        if let Some(entry) = numbers.get_mut(item as usize) {
            // Adding 0 turns −0 into 0, so that equal numbers have equal bytes.
            *entry = if number.is_finite() { number + 0.0 } else { f64::NAN };
        }
        Ok(())
    }

    /// Writes the catalogue.
    ///
    /// # Errors
    /// A column that takes more than its limit, or the output.
    pub fn write(mut self, out: impl Write) -> Result<Written, CatalogueError> {
        self.columns.sort_by(|a, b| a.name.cmp(&b.name));
        let metadata = Metadata {
            format_version: FORMAT_VERSION,
            version: self.version,
            revision: self.revision,
            items: self.items as u64,
            columns: self.columns.iter().map(|c| Column { name: c.name.clone(), kind: c.kind }).collect(),
        };
        let mut tensors = Vec::new();
        if bits::count(&self.available) < self.items {
            tensors.push(("available".to_owned(), Numbers::U64(self.available)));
        }
        if !self.titles.spans.is_empty() {
            let Titles { bytes, spans } = &self.titles;
            let text = |&(start, len): &(u32, u32)| {
                bytes.get(start as usize..).and_then(|rest| rest.get(..len as usize)).unwrap_or_default()
            };
            let (bytes, offsets) = concatenated(spans.iter().map(text));
            tensors.push(("titles.bytes".to_owned(), Numbers::U8(bytes)));
            tensors.push(("titles.offsets".to_owned(), Numbers::U32(offsets)));
        }
        for (index, ColumnBuilder { name, values, .. }) in self.columns.into_iter().enumerate() {
            let parts = match values {
                Values::Category { numbers, pairs } => category(&name, numbers, pairs, self.items)?,
                Values::Numbers(values) => sorted_numbers(values),
            };
            tensors.extend(parts.into_iter().map(|(part, numbers)| (format!("column.{index}.{part}"), numbers)));
        }
        write_tensors(&metadata, tensors, out).map_err(CatalogueError::Write)
    }
}

/// Checks the length of a value of a category column. A reader of a table calls it before it keeps the
/// value.
///
/// # Errors
/// A value that is too long.
pub fn check_value(column: &str, value: &str) -> Result<(), CatalogueError> {
    if value.len() <= VALUE_BYTES_MAX {
        return Ok(());
    }
    let begin = value.get(..value.floor_char_boundary(40)).unwrap_or_default();
    let problem = format!("the value {begin:?}… has more than {VALUE_BYTES_MAX} bytes: filter by a shorter column");
    Err(column_error(column, problem))
}

fn column_error(column: &str, problem: String) -> CatalogueError {
    CatalogueError::Column { column: column.to_owned(), problem }
}

/// Elements of a tensor.
enum Numbers {
    U8(Vec<u8>),
    U32(Vec<u32>),
    U64(Vec<u64>),
    F64(Vec<f64>),
}

type Parts = Vec<(&'static str, Numbers)>;

/// Texts, one after the other, and their offsets. Together they have fewer than 2³² bytes.
fn concatenated<'a>(texts: impl Iterator<Item = &'a [u8]>) -> (Vec<u8>, Vec<u32>) {
    let (mut bytes, mut offsets) = (Vec::new(), vec![0]);
    for text in texts {
        bytes.extend_from_slice(text);
        offsets.push(u32::try_from(bytes.len()).unwrap_or(u32::MAX));
    }
    (bytes, offsets)
}

/// The tensors of a category column.
fn category(
    name: &str,
    numbers: HashMap<Box<str>, u32>,
    mut pairs: Vec<(u32, u32)>,
    items: usize,
) -> Result<Parts, CatalogueError> {
    let sorted: BTreeMap<Box<str>, u32> = numbers.into_iter().collect();
    let mut number_of = vec![0; sorted.len()];
    for (number, first) in (0..).zip(sorted.values()) {
        if let Some(entry) = number_of.get_mut(*first as usize) {
            *entry = number;
        }
    }
    for (value, _) in &mut pairs {
        *value = number_of.get(*value as usize).copied().unwrap_or_default();
    }
    pairs.sort_unstable();
    pairs.dedup();
    let (mut starts, mut lists, mut frequent, mut bitsets) = (vec![0], Vec::new(), Vec::new(), Vec::new());
    for of_value in pairs.chunk_by(|a, b| a.0 == b.0) {
        let words = bits::words(items);
        if of_value.len() * size_of::<u32>() > words * size_of::<u64>() {
            let list: Vec<u32> = of_value.iter().map(|(_, item)| *item).collect();
            bitsets.extend(bits::of(&list, items));
            frequent.extend(of_value.first().map(|(value, _)| *value));
        } else {
            lists.extend(of_value.iter().map(|(_, item)| *item));
        }
        starts.push(u32::try_from(lists.len()).unwrap_or(u32::MAX));
    }
    let bytes = 4 * (starts.len() + lists.len() + frequent.len() + sorted.len() + 1) + 8 * bitsets.len();
    if bytes > COLUMN_BYTES_FREE.max(COLUMN_BYTES_PER_ITEM_MAX * items) || u32::try_from(lists.len()).is_err() {
        let problem = format!(
            "{bytes} bytes for {} values of {items} items, more than {COLUMN_BYTES_PER_ITEM_MAX} bytes an item: choose a column \
             with fewer values an item, or whose values many items share",
            pairs.len()
        );
        return Err(column_error(name, problem));
    }
    let (names, offsets) = concatenated(sorted.keys().map(|name| name.as_bytes()));
    Ok(vec![
        ("names.bytes", Numbers::U8(names)),
        ("names.offsets", Numbers::U32(offsets)),
        ("starts", Numbers::U32(starts)),
        ("lists", Numbers::U32(lists)),
        ("frequent", Numbers::U32(frequent)),
        ("bitsets", Numbers::U64(bitsets)),
    ])
}

/// The tensors of a column of numbers or times.
fn sorted_numbers(values: Vec<f64>) -> Parts {
    let mut sorted: Vec<(f64, u32)> = values.iter().copied().zip(0..).filter(|(value, _)| !value.is_nan()).collect();
    sorted.sort_unstable_by(|a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)));
    let sorted = sorted.into_iter().map(|(_, item)| item).collect();
    vec![("values", Numbers::F64(values)), ("sorted", Numbers::U32(sorted))]
}

impl Numbers {
    fn shape(&self) -> (Dtype, usize) {
        match self {
            Self::U8(numbers) => (Dtype::U8, numbers.len()),
            Self::U32(numbers) => (Dtype::U32, numbers.len()),
            Self::U64(numbers) => (Dtype::U64, numbers.len()),
            Self::F64(numbers) => (Dtype::F64, numbers.len()),
        }
    }

    fn write(&self, out: &mut TensorWriter<impl Write>) -> io::Result<()> {
        match self {
            Self::U8(numbers) => out.put(numbers),
            Self::U32(numbers) => numbers.iter().try_for_each(|number| out.put(&number.to_le_bytes())),
            Self::U64(numbers) => numbers.iter().try_for_each(|number| out.put(&number.to_le_bytes())),
            Self::F64(numbers) => numbers.iter().try_for_each(|number| out.put(&number.to_le_bytes())),
        }
    }
}

fn write_tensors(metadata: &Metadata, tensors: Vec<(String, Numbers)>, out: impl Write) -> io::Result<Written> {
    let plan = |(name, numbers): (String, Numbers)| {
        let (dtype, length) = numbers.shape();
        (PlannedTensor { name: Cow::Owned(name), dtype, shape: vec![length] }, numbers)
    };
    let tensors: Vec<(PlannedTensor, Numbers)> = tensors.into_iter().map(plan).collect();
    let planned: Vec<PlannedTensor> = tensors.iter().map(|(planned, _)| planned.clone()).collect();
    let mut out = TensorWriter::new(out);
    out.put(&head(&metadata.to_json(), &planned))?;
    for (planned, numbers) in &tensors {
        numbers.write(&mut out)?;
        out.put(&vec![0; planned.padding_bytes()])?;
    }
    out.finish()
}
