//! A third party's decoder that panics is silent, and nobody else is. Alone in its file: the hook that
//! prints panics belongs to the whole process.

mod common;

use std::panic;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use common::{fixture, mend_ogg, refusal};

#[test]
fn only_the_panics_of_guarded_decoders_are_silent() {
    let told = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&told);
    panic::set_hook(Box::new(move |_| {
        counter.fetch_add(1, Ordering::SeqCst);
    }));
    // A codebook of the setup header whose size does not fit its entries: symphonia 0.6.1 panics.
    let mut bytes = fixture("tone.ogg");
    bytes[3377] = 215;
    mend_ogg(&mut bytes);
    let sentence = refusal(bytes.clone());
    assert!(sentence.contains("does not survive"), "{sentence}");
    assert_eq!(told.load(Ordering::SeqCst), 0, "the decoder's panic was printed");
    // Other panics are told as before: of this thread afterwards, of another one meanwhile.
    assert!(panic::catch_unwind(|| panic!("ours")).is_err());
    assert_eq!(told.load(Ordering::SeqCst), 1);
    std::thread::scope(|scope| {
        scope.spawn(|| (0..20).for_each(|_| drop(refusal(bytes.clone()))));
        for _ in 0..20 {
            assert!(panic::catch_unwind(|| panic!("ours")).is_err());
        }
    });
    assert_eq!(told.load(Ordering::SeqCst), 21);
}
