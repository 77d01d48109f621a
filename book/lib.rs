//! The book's examples and solutions as tests: `cargo test -p labyrinth-book` compiles and runs each of them.
//!
//! The chapters lie in `src/`, the tests that compare their formulas with the crates in `tests/formulas/`, what
//! draws their pictures in `pictures/`, and what builds their pages in `builder/`.

/// A chapter as documentation, so that its code is compiled and run.
macro_rules! chapters {
    ($($name:ident)*) => {
        $(
            #[doc = include_str!(concat!("src/", stringify!($name), ".md"))]
            #[allow(rustdoc::broken_intra_doc_links, rustdoc::invalid_html_tags)]
            pub mod $name {}
        )*
    };
}

chapters! {
    introduction kaldi
    sampling frames spectrum mel cepstrum
    convolution recurrent transfer
    ctc alignment training
    decoding wer
    fast exact
    guide_folder guide_language guide_kaldi guide_pytorch guide_corpus guide_feature guide_layer guide_model
}
