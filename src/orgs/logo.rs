//! An organisation's logo: a small picture in a format that cannot carry scripts.
//!
//! Invariant: what is kept begins as its format does and says a size that can be drawn; its media type is what we found,
//! never what we were told. SVG is not taken: it is a document with scripts.

use imagesize::ImageType;

use crate::base::error::{Error, Kind, Result};

/// The most bytes of a logo.
pub const BYTES_MAX: usize = 256 * 1024;
/// The most pixels of a side.
const SIDE_MAX: usize = 2048;

/// The media type of what may be a logo.
///
/// # Errors
/// `logo_too_large`, `invalid_logo`.
pub fn check(bytes: &[u8]) -> Result<&'static str> {
    if bytes.len() > BYTES_MAX {
        let message = format!("The picture has {} bytes; a logo has at most {BYTES_MAX}.", bytes.len());
        return Err(Error::new(Kind::TooLarge, "logo_too_large", message));
    }
    let refused = |why: &str| {
        let message = format!(
            "This cannot be a logo: {why}. Send a PNG, JPEG or WebP picture of at most {SIDE_MAX} by {SIDE_MAX} pixels."
        );
        Error::invalid("invalid_logo", message)
    };
    let media_type = match imagesize::image_type(bytes) {
        Ok(ImageType::Png) => "image/png",
        Ok(ImageType::Jpeg) => "image/jpeg",
        Ok(ImageType::Webp) => "image/webp",
        _ => return Err(refused("it does not begin as a picture of such a format does")),
    };
    let size = imagesize::blob_size(bytes).map_err(|_| refused("it does not say how large it is"))?;
    if size.width == 0 || size.height == 0 || size.width > SIDE_MAX || size.height > SIDE_MAX {
        return Err(refused(&format!("it is {} by {} pixels", size.width, size.height)));
    }
    Ok(media_type)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    /// The beginning of a PNG of this size (its signature and IHDR).
    fn png(width: u32, height: u32) -> Vec<u8> {
        let mut bytes = b"\x89PNG\r\n\x1a\n\0\0\0\x0dIHDR".to_vec();
        bytes.extend_from_slice(&width.to_be_bytes());
        bytes.extend_from_slice(&height.to_be_bytes());
        bytes.extend_from_slice(&[8, 6, 0, 0, 0, 0, 0, 0, 0]);
        bytes
    }

    #[test]
    fn pictures_of_a_drawable_size_pass_and_nothing_else() {
        assert_eq!(check(&png(64, 64)).unwrap(), "image/png");
        for bytes in
            [&b""[..], b"<svg onload='x()'/>", b"GIF89a\x01\0\x01\0", b"\x89PNG\r\n\x1a\n", &png(0, 9), &png(9, 2049)]
        {
            assert_eq!(check(bytes).unwrap_err().code(), "invalid_logo", "{bytes:?}");
        }
        assert_eq!(check(&vec![0; BYTES_MAX + 1]).unwrap_err().code(), "logo_too_large");
    }
}
