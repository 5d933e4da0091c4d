//! A page of memory for the secret half of a key: it is in no core dump, is never swapped out, and
//! is wiped when it is no longer needed.

use memmap2::{Advice, MmapMut};
use std::io;
use trunkline_shs::SECRET_BYTES;
use zeroize::Zeroize;

pub(crate) struct SecretPage(MmapMut);

impl SecretPage {
    /// A page of zeros. Nothing else is on it, because the kernel gives whole pages.
    pub(crate) fn new() -> io::Result<SecretPage> {
        let page = MmapMut::map_anon(SECRET_BYTES)?;
        page.advise(Advice::DontDump)?;
        if let Err(error) = page.lock() {
            log::debug!("the secret key may be swapped out: {error}");
        }
        Ok(SecretPage(page))
    }
}

impl AsRef<[u8]> for SecretPage {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}

impl AsMut<[u8]> for SecretPage {
    fn as_mut(&mut self) -> &mut [u8] {
        &mut self.0
    }
}

impl Drop for SecretPage {
    fn drop(&mut self) {
        self.0.zeroize();
    }
}
