//! The embedded images: which one a device runs, and unpacking it.

use std::io::Read;

use flate2::read::DeflateDecoder;

/// The kernels of one `.cu` file.
#[derive(Debug)]
pub struct Family {
    /// The file's name without `.cu`.
    pub name: &'static str,
    /// Its images, one a target.
    pub images: &'static [Packed],
}

/// A compressed image.
#[derive(Debug)]
pub struct Packed {
    /// The target in the compiler's words: `sm_80` for a cubin, `compute_80` for PTX.
    pub target: &'static str,
    /// DEFLATE data.
    pub bytes: &'static [u8],
}

impl Packed {
    /// Whether it is PTX, which the driver translates, and not a cubin.
    pub fn is_ptx(&self) -> bool {
        self.target.starts_with("compute_")
    }
}

/// An image that a driver can load.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Image {
    /// The target it was compiled for.
    pub target: &'static str,
    /// A cubin, or PTX text that ends with a zero byte, as `cuModuleLoadData` takes them.
    pub bytes: Vec<u8>,
}

/// No image for a device.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ImageError {
    /// The device is older than every image, or the kernels are for another generation only.
    #[error("kernels `{family}`: no image for compute capability {major}.{minor}, there are {targets}")]
    NoImage {
        /// The family asked for.
        family: &'static str,
        /// Major version of the device.
        major: u32,
        /// Minor version of the device.
        minor: u32,
        /// What there is.
        targets: String,
    },
    /// The embedded bytes do not unpack.
    #[error(
        "kernels `{family}`, {target}: the embedded image is damaged: {reason}\nhelp: `cargo xtask kernels build`"
    )]
    Damaged {
        /// The family asked for.
        family: &'static str,
        /// The target of the image.
        target: &'static str,
        /// Why.
        reason: String,
    },
}

impl Family {
    /// The image for a device of compute capability `major.minor`.
    ///
    /// A cubin runs on its own and later minor versions of its major version, `sm_90a` on 9.0 alone; a device newer than
    /// every cubin takes the PTX, which its driver translates.
    ///
    /// # Errors
    /// [`ImageError::NoImage`] for a device that nothing here runs on, [`ImageError::Damaged`] for bytes that do not unpack.
    pub fn image(&self, major: u32, minor: u32) -> Result<Image, ImageError> {
        let Some(packed) = self.fitting(major, minor) else {
            let targets = self.images.iter().map(|image| image.target).collect::<Vec<_>>().join(", ");
            return Err(ImageError::NoImage { family: self.name, major, minor, targets });
        };
        self.unpack(packed)
    }

    /// Which of [`Family::images`] that is; `None` for a device that nothing here runs on.
    pub fn fitting(&self, major: u32, minor: u32) -> Option<&'static Packed> {
        let fitting = self.images.iter().filter_map(|image| Some((rank(image.target, major, minor)?, image)));
        fitting.max_by_key(|(rank, _)| *rank).map(|(_, image)| image)
    }

    /// The bytes of one of [`Family::images`].
    ///
    /// # Errors
    /// [`ImageError::Damaged`] for bytes that do not unpack.
    pub fn unpack(&self, packed: &Packed) -> Result<Image, ImageError> {
        let mut bytes = Vec::new();
        DeflateDecoder::new(packed.bytes).read_to_end(&mut bytes).map_err(|error| ImageError::Damaged {
            family: self.name,
            target: packed.target,
            reason: error.to_string(),
        })?;
        Ok(Image { target: packed.target, bytes })
    }
}

/// How well a target fits a device, the more the better; `None` if it does not run there.
///
/// PTX ranks below every cubin, the code of exactly this version above the general one.
fn rank(target: &str, major: u32, minor: u32) -> Option<u32> {
    let device = 10 * major + minor;
    if let Some(version) = target.strip_prefix("compute_") {
        let version: u32 = version.parse().ok()?;
        return (version <= device).then_some(0);
    }
    let version = target.strip_prefix("sm_")?;
    if let Some(version) = version.strip_suffix('a') {
        return (version.parse() == Ok(device)).then_some(1000);
    }
    let version: u32 = version.parse().ok()?;
    (version / 10 == major && version <= device).then_some(version)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::FAMILIES;

    #[test]
    fn the_best_target_is_taken() {
        let targets = ["sm_80", "sm_90", "sm_90a", "sm_100", "sm_120", "compute_80"];
        let best = |major, minor| {
            let ranked = targets.iter().filter_map(|target| Some((rank(target, major, minor)?, *target)));
            ranked.max().map(|(_, target)| target)
        };
        // (major, minor, target)
        let rows = [
            (7, 5, None),
            (8, 0, Some("sm_80")),
            (8, 9, Some("sm_80")),
            (9, 0, Some("sm_90a")),
            (10, 3, Some("sm_100")),
            (11, 0, Some("compute_80")),
            (12, 1, Some("sm_120")),
            (13, 0, Some("compute_80")),
        ];
        for (major, minor, want) in rows {
            assert_eq!(best(major, minor), want, "{major}.{minor}");
        }
    }

    #[test]
    fn every_image_unpacks_to_what_it_says() {
        for family in FAMILIES {
            for packed in family.images {
                let image = family.unpack(packed).unwrap();
                if packed.target.starts_with("compute_") {
                    let text = std::str::from_utf8(&image.bytes).unwrap();
                    assert!(
                        text.contains(".version") && text.ends_with('\0'),
                        "{} {}",
                        family.name,
                        packed.target
                    );
                } else {
                    assert_eq!(&image.bytes[..4], b"\x7fELF", "{} {}", family.name, packed.target);
                }
            }
        }
    }

    #[test]
    fn errors_say_what_there_is() {
        let bytes: &[u8] = b"\xff\xff\xff";
        let packed: &'static [Packed] = Box::leak(Box::new([Packed { target: "sm_80", bytes }]));
        let family = Family { name: "x", images: packed };
        let error = family.image(7, 0).unwrap_err().to_string();
        assert_eq!(error, "kernels `x`: no image for compute capability 7.0, there are sm_80");
        assert!(matches!(family.image(8, 0), Err(ImageError::Damaged { .. })));
    }
}
