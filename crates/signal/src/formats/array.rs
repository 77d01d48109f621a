//! Numbers with a shape: what the files of features hold.

/// The numbers of an [`Array`], in row-major order.
#[derive(Clone, Debug, PartialEq)]
pub enum Values {
    /// Single precision.
    F32(Vec<f32>),
    /// Double precision.
    F64(Vec<f64>),
    /// 16-bit integers, such as samples.
    I16(Vec<i16>),
}

impl Values {
    /// How many there are.
    pub fn len(&self) -> usize {
        match self {
            Values::F32(values) => values.len(),
            Values::F64(values) => values.len(),
            Values::I16(values) => values.len(),
        }
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The place of the first value that is not a finite number.
    pub(crate) fn not_finite(&self) -> Option<usize> {
        match self {
            Values::F32(values) => values.iter().position(|value| !value.is_finite()),
            Values::F64(values) => values.iter().position(|value| !value.is_finite()),
            Values::I16(_) => None,
        }
    }
}

/// A vector `[n]`, a matrix `[rows, columns]`, or what a `.npy` holds of more dimensions.
#[derive(Clone, Debug, PartialEq)]
pub struct Array {
    shape: Vec<usize>,
    values: Values,
}

impl Array {
    /// Values with a shape; `None` if the shape has room for another number of them.
    pub fn new(shape: Vec<usize>, values: Values) -> Option<Self> {
        let room = shape.iter().try_fold(1usize, |room, length| room.checked_mul(*length));
        (room == Some(values.len())).then_some(Array { shape, values })
    }

    /// A matrix of features, `[frames, dim]`.
    ///
    /// # Panics
    /// If there are not `rows x columns` values.
    pub fn from_f32(rows: usize, columns: usize, values: Vec<f32>) -> Self {
        assert_eq!(rows.checked_mul(columns), Some(values.len()), "{rows} x {columns}");
        Array { shape: vec![rows, columns], values: Values::F32(values) }
    }

    /// A matrix in double precision.
    ///
    /// # Panics
    /// If there are not `rows x columns` values.
    pub fn from_f64(rows: usize, columns: usize, values: Vec<f64>) -> Self {
        assert_eq!(rows.checked_mul(columns), Some(values.len()), "{rows} x {columns}");
        Array { shape: vec![rows, columns], values: Values::F64(values) }
    }

    /// The lengths of the dimensions, the slowest first.
    pub fn shape(&self) -> &[usize] {
        &self.shape
    }

    /// The numbers, the last dimension running fastest.
    pub fn values(&self) -> &Values {
        &self.values
    }

    /// The numbers in single precision, rounded to the nearest.
    pub fn to_f32(&self) -> Vec<f32> {
        match &self.values {
            Values::F32(values) => values.clone(),
            Values::F64(values) => values.iter().map(|value| *value as f32).collect(),
            Values::I16(values) => values.iter().map(|value| f32::from(*value)).collect(),
        }
    }

    /// The part of a matrix within rows and columns that it has.
    pub(crate) fn part(
        &self,
        rows: std::ops::Range<usize>,
        columns: std::ops::Range<usize>,
    ) -> Self {
        fn cut<T: Copy>(
            values: &[T],
            width: usize,
            rows: std::ops::Range<usize>,
            columns: std::ops::Range<usize>,
        ) -> Vec<T> {
            rows.flat_map(|row| &values[row * width..][columns.clone()]).copied().collect()
        }
        let width = self.shape[self.shape.len() - 1];
        let shape = vec![rows.len(), columns.len()];
        let values = match &self.values {
            Values::F32(values) => Values::F32(cut(values, width, rows, columns)),
            Values::F64(values) => Values::F64(cut(values, width, rows, columns)),
            Values::I16(values) => Values::I16(cut(values, width, rows, columns)),
        };
        Array { shape, values }
    }
}
