//! Named `f32` tensors to and from the bytes of a safetensors file.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet, HashMap};

use safetensors::tensor::{Dtype, View};
use safetensors::{SafeTensors, serialize};

use crate::{Count, Error, Result};

/// A tensor as plain data: what a weights file holds.
#[derive(Debug, Clone, PartialEq)]
pub struct NamedTensor {
    /// Dotted parameter name, as in PyTorch ("encoder.l0.fwd.weight_ih").
    pub name: String,
    /// Sizes of the axes; row-major.
    pub shape: Vec<usize>,
    /// The values; as many as the product of `shape`.
    pub data: Vec<f32>,
}

/// Encodes tensors as safetensors with the metadata `{"format": "pt"}`, so that PyTorch tools read them.
///
/// The bytes depend on the set of tensors alone, not on their order.
///
/// # Errors
/// [`Error::DuplicateTensor`], [`Error::TensorLength`], [`Error::NonFinite`]: what is refused on reading is never written.
pub fn weights_to_bytes(tensors: &[NamedTensor]) -> Result<Vec<u8>> {
    let mut seen = BTreeSet::new();
    for tensor in tensors {
        if !seen.insert(&tensor.name) {
            return Err(Error::DuplicateTensor { name: tensor.name.clone() });
        }
        let expected = count(&tensor.shape);
        if expected != Count::Exactly(tensor.data.len()) {
            return Err(Error::TensorLength {
                name: tensor.name.clone(),
                shape: tensor.shape.clone(),
                expected,
                found: tensor.data.len(),
            });
        }
        check_finite(&tensor.name, &tensor.data)?;
    }
    let metadata = HashMap::from([("format".to_string(), "pt".to_string())]);
    serialize(tensors.iter().map(|tensor| (tensor.name.as_str(), F32View(tensor))), Some(metadata))
        .map_err(|source| Error::Safetensors { source })
}

/// Decodes a safetensors file into tensors sorted by name.
///
/// # Errors
/// [`Error::Safetensors`], [`Error::TensorType`] for anything but F32, [`Error::NonFinite`].
pub fn weights_from_bytes(bytes: &[u8]) -> Result<Vec<NamedTensor>> {
    let file = SafeTensors::deserialize(bytes).map_err(|source| Error::Safetensors { source })?;
    let mut tensors = Vec::with_capacity(file.len());
    for (name, view) in file.tensors() {
        if view.dtype() != Dtype::F32 {
            return Err(Error::TensorType { name, found: format!("{:?}", view.dtype()) });
        }
        let data: Vec<f32> =
            view.data().as_chunks::<4>().0.iter().map(|&quad| f32::from_le_bytes(quad)).collect();
        check_finite(&name, &data)?;
        tensors.push(NamedTensor { name, shape: view.shape().to_vec(), data });
    }
    tensors.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(tensors)
}

/// Puts tensors into the order of a model's parameters, after checking that both are the same set of names and shapes.
///
/// # Errors
/// [`Error::MissingTensor`], [`Error::TensorShape`], [`Error::ExtraTensor`], [`Error::DuplicateTensor`].
pub fn match_weights(tensors: Vec<NamedTensor>, expected: &[(&str, &[usize])]) -> Result<Vec<NamedTensor>> {
    let mut by_name = BTreeMap::new();
    for tensor in tensors {
        if let Some(twice) = by_name.insert(tensor.name.clone(), tensor) {
            return Err(Error::DuplicateTensor { name: twice.name });
        }
    }
    let mut ordered = Vec::with_capacity(expected.len());
    for &(name, shape) in expected {
        let tensor = by_name
            .remove(name)
            .ok_or_else(|| Error::MissingTensor { name: name.into(), expected: shape.to_vec() })?;
        if tensor.shape != shape {
            return Err(Error::TensorShape {
                name: name.into(),
                expected: shape.to_vec(),
                found: tensor.shape,
            });
        }
        ordered.push(tensor);
    }
    match by_name.into_values().next() {
        Some(extra) => Err(Error::ExtraTensor { name: extra.name, found: extra.shape }),
        None => Ok(ordered),
    }
}

fn count(shape: &[usize]) -> Count {
    let product = shape.iter().try_fold(1usize, |product, &size| product.checked_mul(size));
    product.map_or(Count::TooMany, Count::Exactly)
}

fn check_finite(name: &str, data: &[f32]) -> Result<()> {
    match data.iter().position(|value| !value.is_finite()) {
        Some(index) => Err(Error::NonFinite { name: name.into(), index, value: data[index] }),
        None => Ok(()),
    }
}

struct F32View<'a>(&'a NamedTensor);

impl View for F32View<'_> {
    fn dtype(&self) -> Dtype {
        Dtype::F32
    }

    fn shape(&self) -> &[usize] {
        &self.0.shape
    }

    fn data(&self) -> Cow<'_, [u8]> {
        Cow::Owned(self.0.data.iter().flat_map(|value| value.to_le_bytes()).collect())
    }

    fn data_len(&self) -> usize {
        self.0.data.len() * size_of::<f32>()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tensor(name: &str, shape: &[usize], data: &[f32]) -> NamedTensor {
        NamedTensor { name: name.into(), shape: shape.into(), data: data.into() }
    }

    fn pair() -> [NamedTensor; 2] {
        [
            tensor("b.weight", &[2, 2], &[1.0, -0.0, f32::MIN_POSITIVE, f32::MAX]),
            tensor("a.bias", &[1], &[0.1]),
        ]
    }

    #[test]
    fn tensors_come_back_bit_for_bit_and_sorted() {
        let bytes = weights_to_bytes(&pair()).unwrap();
        let [b, a] = pair();
        assert_eq!(weights_from_bytes(&bytes).unwrap(), [a.clone(), b.clone()]);
        assert_eq!(weights_to_bytes(&[a, b]).unwrap(), bytes, "the order of the tensors must not matter");
        let header = String::from_utf8_lossy(&bytes);
        assert!(header.contains(r#""__metadata__":{"format":"pt"}"#), "{header}");
    }

    #[test]
    fn an_empty_tensor_and_no_tensor_are_fine() {
        for tensors in [vec![], vec![tensor("none", &[0, 3], &[])]] {
            assert_eq!(weights_from_bytes(&weights_to_bytes(&tensors).unwrap()).unwrap(), tensors);
        }
    }

    #[test]
    fn what_would_be_refused_is_not_written() {
        let message = |tensors: &[NamedTensor]| weights_to_bytes(tensors).unwrap_err().to_string();
        assert_eq!(
            message(&[tensor("w", &[2, 3], &[0.0; 5])]),
            "tensor \"w\" of shape [2, 3] has 5 values, expected 6"
        );
        assert_eq!(
            message(&[tensor("w", &[usize::MAX, 2], &[])]),
            format!(
                "tensor \"w\" of shape [{}, 2] has 0 values, expected more than can be addressed",
                usize::MAX
            )
        );
        assert_eq!(
            message(&[tensor("w", &[], &[1.0]), tensor("w", &[], &[1.0])]),
            "tensor \"w\" occurs twice"
        );
        assert_eq!(
            message(&[tensor("w", &[3], &[0.0, f32::NAN, f32::INFINITY])]),
            "tensor \"w\" has the value NaN at position 1, expected finite numbers only"
        );
    }

    #[test]
    fn non_finite_values_in_a_file_are_refused() {
        let mut bytes = weights_to_bytes(&[tensor("w", &[2], &[1.0, 2.0])]).unwrap();
        let end = bytes.len();
        bytes[end - 4..].copy_from_slice(&f32::NEG_INFINITY.to_le_bytes());
        let error = weights_from_bytes(&bytes).unwrap_err();
        assert!(matches!(&error, Error::NonFinite { name, index: 1, .. } if name == "w"), "{error}");
    }

    #[test]
    fn another_number_format_is_named() {
        let header = br#"{"w":{"dtype":"F16","shape":[1],"data_offsets":[0,2]}}"#;
        let mut bytes = (header.len() as u64).to_le_bytes().to_vec();
        bytes.extend_from_slice(header);
        bytes.extend_from_slice(&[0, 0]);
        let error = weights_from_bytes(&bytes).unwrap_err();
        assert_eq!(
            error.to_string(),
            "tensor \"w\" is stored as F16, expected F32\nhelp: convert the weights first"
        );
    }

    #[test]
    fn hostile_headers_are_refused() {
        let file = |header: &str, payload: usize| {
            let mut bytes = (header.len() as u64).to_le_bytes().to_vec();
            bytes.extend_from_slice(header.as_bytes());
            bytes.resize(bytes.len() + payload, 0);
            bytes
        };
        let cases = [
            vec![],
            u64::MAX.to_le_bytes().to_vec(),
            file("", 0),
            file("[]", 0),
            file(
                r#"{"w":{"dtype":"F32","shape":[4194305,4194305,211106198978564],"data_offsets":[0,16]}}"#,
                16,
            ),
            file(r#"{"w":{"dtype":"F32","shape":[2],"data_offsets":[8,0]}}"#, 8),
            file(r#"{"w":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}}"#, 4),
            file(r#"{"w":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}}"#, 12),
            file(
                r#"{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]},"b":{"dtype":"F32","shape":[2],"data_offsets":[4,12]}}"#,
                12,
            ),
            file(&"[".repeat(100_000), 0),
        ];
        for (index, bytes) in cases.iter().enumerate() {
            let read = weights_from_bytes(bytes);
            assert!(matches!(read, Err(Error::Safetensors { .. })), "case {index}: {read:?}");
        }
    }

    #[test]
    fn weights_must_match_the_model_exactly() {
        let expected: &[(&str, &[usize])] = &[("b.weight", &[2, 2]), ("a.bias", &[1])];
        let ordered = match_weights(pair().to_vec(), expected).unwrap();
        assert_eq!(ordered[0].name, "b.weight");

        let message =
            |expected: &[(&str, &[usize])]| match_weights(pair().to_vec(), expected).unwrap_err().to_string();
        assert_eq!(
            message(&[("b.weight", &[4]), ("a.bias", &[1])]),
            "tensor \"b.weight\" has shape [2, 2], expected [4]"
        );
        assert!(message(&[("c", &[4])]).starts_with("tensor \"c\" of shape [4] is missing"));
        assert!(
            message(&[("a.bias", &[1])])
                .starts_with("tensor \"b.weight\" of shape [2, 2] is not part of the model")
        );
    }
}
