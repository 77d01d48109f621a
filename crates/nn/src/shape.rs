//! The shape of an activation: the frames of several utterances one after another.

/// Rows of frames, utterance after utterance; each row holds `bins × channels` values.
///
/// An activation with this shape is a slice `[rows, bins, channels]`, channels innermost. There
/// is no padding: `rows` is the sum of the lengths.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shape {
    /// Frames of each utterance.
    pub lengths: Vec<usize>,
    /// Frequency bins of a frame (1 once they were flattened into channels).
    pub bins: usize,
    /// Values of a bin.
    pub channels: usize,
}

impl Shape {
    /// Feature frames as they come from the loader: `dim` bins of one channel.
    pub fn features(lengths: &[usize], dim: usize) -> Self {
        Self { lengths: lengths.to_vec(), bins: dim, channels: 1 }
    }

    /// All frames of the batch.
    pub fn rows(&self) -> usize {
        self.lengths.iter().sum()
    }

    /// Values of one frame.
    pub fn width(&self) -> usize {
        self.bins * self.channels
    }

    /// Values of the whole activation.
    pub fn len(&self) -> usize {
        self.rows() * self.width()
    }

    /// Whether the activation holds nothing.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The same frames with `width` values each, in one bin.
    pub fn with_width(&self, width: usize) -> Self {
        Self { lengths: self.lengths.clone(), bins: 1, channels: width }
    }
}
