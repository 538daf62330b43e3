//! Writes a model.

use std::io::{self, Write};

use ndarray::ArrayView2;
use sha2::{Digest as _, Sha256};
use tensor_file::{Dtype, PlannedTensor, StringTable, TensorWriter, Written, head};

use crate::{
    error::SnapshotError,
    item_ids::ids_checksum,
    parts::ModelParts,
    tensors::{Spec, Tensor},
};

/// Writes the model. Inconsistent parts are rejected before the first byte is written; the reader
/// validates contents.
pub fn write(parts: &ModelParts<'_>, out: impl Write) -> Result<Written, SnapshotError> {
    parts.metadata.check()?;
    let tensors = tensors(parts)?;
    let planned: Vec<PlannedTensor> = tensors.iter().map(|(planned, _)| planned.clone()).collect();
    let mut out = TensorWriter::new(out);
    let written = (|| {
        out.put(&head(&parts.metadata.to_json(), &planned))?;
        for (planned, numbers) in &tensors {
            numbers.write(&mut out)?;
            out.put(&vec![0; planned.padding_bytes()])?;
        }
        out.finish()
    })();
    written.map_err(SnapshotError::Write)
}

/// Elements of a tensor.
enum Numbers<'a> {
    U8(&'a [u8]),
    U32(&'a [u32]),
    /// Rows of a square matrix.
    U32Square(&'a [u32]),
    /// Rows in the order of their ids; sorted when they are written.
    SortedRows(&'a StringTable),
    U64(&'a [u64]),
    /// Two bfloat16 in each number.
    Bf16Pairs(&'a [u32]),
    F32(&'a [f32]),
    /// Rows of three.
    F32Triples(&'a [f32]),
    Matrix32(ArrayView2<'a, f32>),
    Matrix64(ArrayView2<'a, f64>),
    /// SHA-256 of the bytes and offsets of ids.
    ChecksumOf(&'a StringTable),
    /// SHA-256 of what was written before.
    Checksum,
}

impl<'a> Numbers<'a> {
    /// The elements; `None` if the model does not have the tensor.
    fn of(tensor: Tensor, parts: &ModelParts<'a>) -> Option<Self> {
        Some(match tensor {
            Tensor::UserFactors => Self::Matrix32(parts.user_factors),
            Tensor::ItemFactors => Self::Matrix32(parts.item_factors),
            Tensor::Gram => Self::Matrix64(parts.gram),
            Tensor::UserBiases => Self::F32(parts.biases?.users),
            Tensor::ItemBiases => Self::F32(parts.biases?.items),
            Tensor::ItemCounts => Self::U32(parts.item_counts),
            Tensor::PopularItems => Self::U32(parts.popular_items),
            Tensor::UserIdBytes => Self::U8(parts.user_ids.bytes()),
            Tensor::UserIdOffsets => Self::U64(parts.user_ids.offsets()),
            Tensor::UserIdSorted => Self::SortedRows(parts.user_ids),
            Tensor::ItemIdBytes => Self::U8(parts.item_ids.bytes()),
            Tensor::ItemIdOffsets => Self::U64(parts.item_ids.offsets()),
            Tensor::ItemIdSorted => Self::SortedRows(parts.item_ids),
            Tensor::ItemIdChecksum => Self::ChecksumOf(parts.item_ids),
            Tensor::SeenOffsets => Self::U64(parts.seen.offsets),
            Tensor::SeenItems => Self::U32(parts.seen.items),
            Tensor::SeenWeights => Self::F32(parts.seen.weights?),
            // Catalogues have them; see the list of tensors.
            Tensor::TitleBytes | Tensor::TitleOffsets | Tensor::Available => return None,
            Tensor::CodeOrder => Self::U32(parts.item_codes?.order),
            Tensor::Codes => Self::U8(parts.item_codes?.codes),
            Tensor::CodeScales => Self::Bf16Pairs(parts.item_codes?.scales),
            Tensor::CodeBounds => Self::F32Triples(parts.item_codes?.bounds),
            Tensor::TwoHopLists => Self::U64(parts.two_hop?.lists.offsets),
            Tensor::TwoHopUsers => Self::U32(parts.two_hop?.lists.columns),
            Tensor::TwoHopUserWeights => Self::F32(parts.two_hop?.lists.weights?),
            Tensor::TwoHopRows => Self::U64(parts.two_hop?.rows?.offsets),
            Tensor::TwoHopItems => Self::U32(parts.two_hop?.rows?.columns),
            Tensor::TwoHopItemWeights => Self::F32(parts.two_hop?.rows?.weights?),
            Tensor::TwoHopPairs => Self::U32Square(parts.two_hop?.pairs?),
            Tensor::TwoHopSpan => Self::Matrix64(parts.two_hop?.span?),
            Tensor::Checksum => Self::Checksum,
        })
    }

    fn dtype(&self) -> Dtype {
        match self {
            Self::U8(_) | Self::ChecksumOf(_) | Self::Checksum => Dtype::U8,
            Self::U32(_) | Self::U32Square(_) | Self::SortedRows(_) => Dtype::U32,
            Self::U64(_) => Dtype::U64,
            Self::Bf16Pairs(_) => Dtype::BF16,
            Self::F32(_) | Self::F32Triples(_) | Self::Matrix32(_) => Dtype::F32,
            Self::Matrix64(_) => Dtype::F64,
        }
    }

    fn shape(&self) -> Vec<usize> {
        match self {
            Self::U8(bytes) => vec![bytes.len()],
            Self::U32(numbers) => vec![numbers.len()],
            Self::U32Square(numbers) => vec![numbers.len().isqrt(); 2],
            Self::SortedRows(ids) => vec![ids.len()],
            Self::U64(numbers) => vec![numbers.len()],
            Self::Bf16Pairs(pairs) => vec![pairs.len(), 2],
            Self::F32(numbers) => vec![numbers.len()],
            Self::F32Triples(numbers) => vec![numbers.len() / 3, 3],
            Self::Matrix32(matrix) => matrix.shape().to_vec(),
            Self::Matrix64(matrix) => matrix.shape().to_vec(),
            Self::ChecksumOf(_) | Self::Checksum => vec![Sha256::output_size()],
        }
    }

    fn write(&self, out: &mut TensorWriter<impl Write>) -> io::Result<()> {
        match self {
            Self::U8(bytes) => out.put(bytes),
            Self::U32(numbers) | Self::U32Square(numbers) | Self::Bf16Pairs(numbers) => {
                numbers.iter().try_for_each(|n| out.put(&n.to_le_bytes()))
            }
            Self::SortedRows(ids) => sorted_rows(ids).iter().try_for_each(|n| out.put(&n.to_le_bytes())),
            Self::U64(numbers) => numbers.iter().try_for_each(|n| out.put(&n.to_le_bytes())),
            Self::F32(numbers) | Self::F32Triples(numbers) => {
                numbers.iter().try_for_each(|n| out.put(&n.to_le_bytes()))
            }
            Self::Matrix32(matrix) => matrix.iter().try_for_each(|n| out.put(&n.to_le_bytes())),
            Self::Matrix64(matrix) => matrix.iter().try_for_each(|n| out.put(&n.to_le_bytes())),
            Self::ChecksumOf(ids) => out.put(&ids_checksum(ids.bytes(), ids.offsets())),
            Self::Checksum => {
                let checksum = out.checksum()?;
                out.put(&checksum)
            }
        }
    }
}

/// Tensors of the model in the order of the file. Their presence, types and shapes match the list.
fn tensors<'a>(parts: &ModelParts<'a>) -> Result<Vec<(PlannedTensor, Numbers<'a>)>, SnapshotError> {
    let metadata = parts.metadata;
    let mut tensors = Vec::with_capacity(Tensor::ALL.len());
    for tensor in Tensor::ALL {
        tensor.is_present(metadata, |tensor| Numbers::of(tensor, parts).is_some())?;
        let Some(numbers) = Numbers::of(tensor, parts) else { continue };
        let Spec { name, dtype, .. } = tensor.spec();
        let shape = numbers.shape();
        let lengths: Vec<u64> = shape.iter().map(|length| *length as u64).collect();
        let expected = tensor.shape(metadata, |dimension| lengths.get(dimension).copied());
        if (numbers.dtype(), &lengths) != (dtype, &expected) {
            let found = format!("has type {:?} and shape {lengths:?}", numbers.dtype());
            return Err(SnapshotError::corrupt(name, format!("{found}; the metadata requires {dtype:?} {expected:?}")));
        }
        tensors.push((PlannedTensor { name: name.into(), dtype, shape }, numbers));
    }
    Ok(tensors)
}

/// Rows in the byte order of their ids.
fn sorted_rows(ids: &StringTable) -> Vec<u32> {
    let mut rows: Vec<u32> = (0..u32::try_from(ids.len()).unwrap_or(u32::MAX)).collect();
    rows.sort_unstable_by_key(|row| ids.get(*row as usize));
    rows
}
