//! placeholder
use super::{CheckError, Checked};
impl Checked {
    /// The page.
    ///
    /// # Errors
    /// none
    pub fn page(&self, _path: &std::path::Path) -> Result<String, CheckError> {
        Ok(String::new())
    }
}
