//! The SHA-256 of a file, read once in pieces.

use crate::manifest::hexadecimal;
use sha2::{Digest, Sha256};
use std::io::{self, ErrorKind, Read};

/// The digest of all that `reader` gives, in hexadecimal. `tell` hears how many bytes were read so far.
pub(crate) fn sha256(mut reader: impl Read, tell: &dyn Fn(u64)) -> io::Result<String> {
    let mut hasher = Sha256::new();
    let mut buffer = vec![0; 1 << 16];
    let mut done = 0;
    loop {
        match reader.read(&mut buffer) {
            Ok(0) => return Ok(hexadecimal(&hasher.finalize())),
            Ok(count) => {
                hasher.update(&buffer[..count]);
                done += count as u64;
                tell(done);
            }
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The examples of FIPS 180-2, appendix B: "abc" and a million times "a".
    #[test]
    fn the_digests_are_those_of_the_standard() {
        let short = sha256(&b"abc"[..], &|_| {}).unwrap();
        assert_eq!(short, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
        let long = sha256(io::repeat(b'a').take(1_000_000), &|_| {}).unwrap();
        assert_eq!(long, "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0");
    }
}
