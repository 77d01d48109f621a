//! Files of features exchanged with others: what peers wrote, round trips, and every kind of damage.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use labyrinth_signal::{
    ArkFormat, ArkReader, ArkWriter, Array, Compression, FormatError, HtkFile, HtkKind, Values,
    parse_htk, parse_npy, parse_scp, read_htk, read_kaldi, read_npy, read_scp, write_htk,
    write_kaldi, write_npy,
};
use proptest::prelude::*;

const NAME: &str = "some/file";

fn golden(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(name)
}

/// The matrix of the script that made the golden files.
fn matrix(rows: i64, columns: i64) -> Vec<f32> {
    let value = |i: i64, j: i64| {
        let step = (i * 37 + j * 101 + i * i * (j + 1) * 7) % 1000 - 500;
        step as f32 / 64.0 * (j + 1) as f32
    };
    (0..rows).flat_map(|i| (0..columns).map(move |j| value(i, j))).collect()
}

fn entries(bytes: &[u8]) -> Result<Vec<(String, Array)>, FormatError> {
    ArkReader::from_bytes(bytes.to_vec(), Path::new(NAME)).collect()
}

fn refusal<T: std::fmt::Debug>(result: Result<T, FormatError>) -> String {
    let sentence = result.expect_err("must be refused").to_string();
    assert!(sentence.starts_with("`some/file`"), "{sentence}");
    sentence
}

fn f64s(array: &Array) -> &[f64] {
    match array.values() {
        Values::F64(values) => values,
        other => panic!("{other:?}"),
    }
}

#[test]
fn archives_of_kaldi_are_read() {
    let entries: HashMap<String, Array> = ArkReader::open(&golden("kaldi.ark"))
        .expect("there")
        .collect::<Result<_, _>>()
        .expect("readable");
    assert_eq!(entries.len(), 6 + 3 * 10);
    let wide = matrix(20, 5);
    assert_eq!(entries["fm"], Array::from_f32(20, 5, wide.clone()));
    let thirds: Vec<f64> = wide.iter().map(|value| f64::from(*value) / 3.0).collect();
    assert_eq!(entries["dm"], Array::from_f64(20, 5, thirds.clone()));
    assert_eq!(entries["fv"].shape(), [20]);
    assert_eq!(entries["fv"].to_f32(), wide.iter().skip(1).step_by(5).copied().collect::<Vec<_>>());
    let column: Vec<f64> = thirds.iter().skip(1).step_by(5).copied().collect();
    assert_eq!(f64s(&entries["dv"]), column);
    // Kaldi writes six or seven digits.
    for (name, shape, expected) in
        [("text-fm", vec![3, 5], &wide[..15]), ("text-fv", vec![5], &wide[..5])]
    {
        assert_eq!(entries[name].shape(), shape);
        for (value, expected) in f64s(&entries[name]).iter().zip(expected) {
            assert!((value - f64::from(*expected)).abs() < 1e-5 * expected.abs() as f64);
        }
    }
    let by_kaldiio: Vec<(String, Array)> = ArkReader::open(&golden("kaldiio.ark"))
        .expect("there")
        .collect::<Result<_, _>>()
        .expect("readable");
    assert_eq!(by_kaldiio[0].1, Array::from_f32(20, 5, wide.clone()));
    assert_eq!(by_kaldiio[1].1.to_f32(), wide[..5]);
    for (entry, step) in by_kaldiio[2..].iter().zip([1.0 / 64.0, 1.0 / 65535.0, 1.0 / 255.0]) {
        let bound = 60.0 * 5.0 * step;
        let values = entry.1.to_f32();
        assert!(values.iter().zip(&wide).all(|(a, b)| (a - b).abs() < bound), "{}", entry.0);
    }
}

/// The bytes of an archive that we write.
fn written(key: &str, array: &Array, format: ArkFormat) -> Result<Vec<u8>, FormatError> {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("it.ark");
    let mut writer = ArkWriter::create(&path, None, format)?;
    writer.write(key, array)?;
    writer.finish()?;
    Ok(std::fs::read(&path).expect("written"))
}

#[test]
fn compressed_matrices_are_kaldis_byte_for_byte() {
    use Compression::*;
    let ark = std::fs::read(golden("kaldi.ark")).expect("there");
    let entries: HashMap<String, Array> = entries(&ark).expect("readable").into_iter().collect();
    for (name, method) in [
        ("automatic-long", Automatic),
        ("automatic-short", Automatic),
        ("speech", SpeechFeature),
        ("speech-3-rows", SpeechFeature),
        ("speech-constant", SpeechFeature),
        ("two-byte", TwoByteAuto),
        ("two-byte-integer", TwoByteSignedInteger),
        ("one-byte", OneByteAuto),
        ("one-byte-integer", OneByteUnsignedInteger),
        ("zero-one", OneByteZeroOne),
    ] {
        let (from, read) = (&entries[&format!("{name}.from")], &entries[&format!("{name}.read")]);
        let bytes = written(name, from, ArkFormat::Compressed(method)).expect("written");
        let at = ark.windows(bytes.len()).position(|window| window == bytes);
        assert!(at.is_some(), "{name} is written otherwise than by Kaldi");
        let largest = from.to_f32().iter().fold(0f32, |a, b| a.max(b.abs()));
        for (ours, theirs) in entries[name].to_f32().iter().zip(read.to_f32()) {
            assert!((ours - theirs).abs() <= 2e-7 * largest, "{name}: {ours} {theirs}");
        }
    }
}

#[test]
fn arrays_of_numpy_are_read() {
    let wide = matrix(20, 5);
    assert_eq!(
        read_npy(&golden("f4.npy")).expect("readable"),
        Array::from_f32(20, 5, wide.clone())
    );
    let thirds = wide.iter().map(|value| f64::from(*value) / 3.0).collect();
    let expected = Array::from_f64(20, 5, thirds);
    for name in ["version2.npy", "version3.npy"] {
        assert_eq!(read_npy(&golden(name)).expect("readable"), expected);
    }
    let samples = Array::new(vec![12], Values::I16((-3..9).collect())).expect("12");
    assert_eq!(read_npy(&golden("samples.npy")).expect("readable"), samples);
    let cube = Array::new(vec![2, 3, 4], Values::I16((0..24).collect())).expect("24");
    assert_eq!(read_npy(&golden("cube.npy")).expect("readable"), cube);
    // Written as NumPy writes.
    let folder = tempfile::tempdir().expect("a folder");
    for (name, array) in [("f4.npy", Array::from_f32(20, 5, wide)), ("samples.npy", samples)] {
        let path = folder.path().join(name);
        write_npy(&path, &array).expect("written");
        let theirs = std::fs::read(golden(name)).expect("there");
        assert!(std::fs::read(&path).expect("written") == theirs, "{name}");
    }
}

#[test]
fn parameter_files_of_htk_are_read() {
    let file = read_htk(&golden("fbank.htk")).expect("readable");
    assert_eq!(file.features, Array::from_f32(20, 5, matrix(20, 5)));
    assert_eq!((file.sample_period, file.kind), (100_000, HtkKind::FBANK));
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("it.htk");
    write_htk(&path, &file).expect("written");
    let theirs = std::fs::read(golden("fbank.htk")).expect("there");
    assert!(std::fs::read(&path).expect("written") == theirs);

    let compressed = read_htk(&golden("compressed.htk")).expect("readable");
    assert_eq!(compressed.kind.to_string(), "MFCC_E");
    assert_eq!(compressed.features.shape(), [20, 5]);
    for (index, (value, expected)) in
        compressed.features.to_f32().iter().zip(matrix(20, 5)).enumerate()
    {
        // Half a step of 65534 over at most 16 (j + 1).
        let bound = 16.0 * (index % 5 + 1) as f32 / 65534.0;
        assert!((value - expected).abs() <= bound, "{value} {expected}");
    }

    // A waveform, and every kind that has no numbers to give.
    let mut bytes = [0u32.to_be_bytes(), 625u32.to_be_bytes()].concat();
    bytes[3] = 3;
    bytes.extend([0, 2, 0, 0, 0, 1, 0xff, 0xff, 0x80, 0]);
    let file = parse_htk(bytes.clone(), Path::new(NAME)).expect("readable");
    assert_eq!(file.features.values(), &Values::I16(vec![1, -1, -32768]));
    assert!(write_htk(&path, &file).is_err());
    // Reflection coefficients, whose scale is fixed.
    let mut reflection = bytes.clone();
    reflection[11] = 5;
    reflection[14..16].copy_from_slice(&[0x7f, 0xff]);
    let file = parse_htk(reflection, Path::new(NAME)).expect("readable");
    assert_eq!((file.features.to_f32()[1], file.kind.to_string().as_str()), (1.0, "IREFC"));
    for (kind, word) in [(10u8, "codebook"), (63, "no HTK file"), (6, "values have 4")] {
        let mut bytes = bytes.clone();
        bytes[11] = kind;
        let sentence = refusal(parse_htk(bytes, Path::new(NAME)));
        assert!(sentence.contains(word) || sentence.contains("whose values"), "{sentence}");
    }
}

#[test]
fn an_scp_leads_to_its_entries_and_their_parts() {
    let folder = tempfile::tempdir().expect("a folder");
    let (ark, scp) = (folder.path().join("a b:7.ark"), folder.path().join("it.scp"));
    let mut writer = ArkWriter::create(&ark, Some(&scp), ArkFormat::Binary).expect("created");
    let arrays = [
        ("first", Array::from_f32(20, 5, matrix(20, 5))),
        ("empty", Array::from_f32(0, 0, Vec::new())),
        ("vector", Array::new(vec![3], Values::F64(vec![1.5, -2.0, 1e-300])).expect("3")),
    ];
    for (key, array) in &arrays {
        writer.write(key, array).expect("written");
    }
    writer.finish().expect("written");
    let entries = read_scp(&scp).expect("readable");
    assert_eq!(entries.len(), 3);
    for (entry, (key, array)) in entries.iter().zip(&arrays) {
        assert_eq!(entry.key, *key);
        assert_eq!(entry.read().expect("readable"), *array);
    }
    let ranged = |range: &str| {
        let line = format!("first {}:{}[{range}]", ark.display(), entries[0].offset);
        parse_scp(line.as_bytes(), Path::new(NAME)).map(|entries| entries[0].read())
    };
    let wide = matrix(20, 5);
    let part = ranged("2:4,1:3").expect("a range").expect("within");
    let expected: Vec<f32> =
        (2..5).flat_map(|row| wide[row * 5 + 1..row * 5 + 4].to_vec()).collect();
    assert_eq!(part, Array::from_f32(3, 3, expected));
    let columns = ranged(",0:0").expect("a range").expect("within");
    assert_eq!(columns.shape(), [20, 1]);
    // Kaldi cuts off up to three rows too many.
    assert_eq!(ranged("18:22").expect("a range").expect("within").to_f32(), wide[90..]);
    for outside in ["18:23", "20:20", "0:3,0:5"] {
        let error = ranged(outside).expect("a range").expect_err("outside").to_string();
        assert!(error.contains("20 x 5"), "{error}");
    }
    for wrong in ["3:2", "a:b", "1", "0:1,0:1,0:1", "-1:3", "0:99999999999"] {
        assert!(refusal(ranged(wrong)).contains("both included"), "{wrong}");
    }
    let vector = format!("v {}:{}[0:1]", ark.display(), entries[2].offset);
    let vector = parse_scp(vector.as_bytes(), Path::new(NAME)).expect("a line");
    assert!(vector[0].read().expect_err("a vector").to_string().contains("a vector"));

    // A place outside of the file, and one where nothing begins.
    let length = std::fs::metadata(&ark).expect("there").len();
    let error = read_kaldi(&ark, length).expect_err("outside").to_string();
    assert!(error.contains("a b:7.ark") && error.contains(&length.to_string()), "{error}");
    assert!(read_kaldi(&ark, u64::MAX).is_err());
    assert!(read_kaldi(&ark, entries[0].offset + 1).is_err());
    assert!(matches!(read_kaldi(folder.path(), 0), Err(FormatError::Unusable { .. })));
    assert!(matches!(read_kaldi(&ark.join("x"), 0), Err(FormatError::Missing { .. })));
    // A name that would not come back from an scp.
    let name = folder.path().join("x ");
    assert!(ArkWriter::create(&name, Some(&scp), ArkFormat::Binary).is_err());
}

#[test]
fn an_scp_with_commands_or_nonsense_is_refused() {
    for (text, word) in [
        ("a gunzip -c x.gz |", "runs no programs"),
        ("a | cat", "runs no programs"),
        ("a -", "names no file"),
        ("a :12", "names no file"),
        ("alone", "a key and a file"),
        ("a x.ark:99999999999999999999999", "beyond any file"),
        ("a x.ark\nb x.ark[1]\n", "byte 8"),
    ] {
        let sentence = refusal(parse_scp(text.as_bytes(), Path::new(NAME)));
        assert!(sentence.contains(word), "{sentence}");
    }
    assert!(refusal(parse_scp(b"\xff\xfe", Path::new(NAME))).contains("UTF-8"));
    assert!(parse_scp(b"\n \n", Path::new(NAME)).expect("empty lines").is_empty());
}

/// An archive of every kind of object, and where each entry ends.
fn small_ark() -> (Vec<u8>, Vec<usize>) {
    let matrix = Array::from_f32(9, 2, (0..18).map(|i| (i as f32 - 9.0) * 1e-9).collect());
    let vector = Array::new(vec![3], Values::F64(vec![1.0, 2.0, 3.0])).expect("3");
    let mut ark = Vec::new();
    let mut ends = vec![0];
    let compressed = |method| ArkFormat::Compressed(method);
    for (key, array, format) in [
        ("fm", &matrix, ArkFormat::Binary),
        ("dv", &vector, ArkFormat::Binary),
        ("t", &matrix, ArkFormat::Text),
        ("v", &vector, ArkFormat::Text),
        ("cm", &matrix, compressed(Compression::Automatic)),
        ("cm2", &matrix, compressed(Compression::TwoByteAuto)),
        ("cm3", &matrix, compressed(Compression::OneByteAuto)),
    ] {
        ark.extend(written(key, array, format).expect("written"));
        ends.push(ark.len());
    }
    (ark, ends)
}

#[test]
fn an_archive_cut_anywhere_gives_what_was_whole_and_an_error() {
    let (ark, ends) = small_ark();
    assert_eq!(entries(&ark).expect("whole").len(), ends.len() - 1);
    for cut in 0..ark.len() {
        let mut reader = ArkReader::from_bytes(ark[..cut].to_vec(), Path::new(NAME));
        // An entry in text is whole without its last line break.
        let whole =
            ends.iter().rposition(|end| *end <= cut || (*end == cut + 1 && ark[cut] == b'\n'));
        let whole = whole.expect("0 is an end");
        for _ in 0..whole {
            reader.next().expect("an entry").expect("whole");
        }
        if cut + 1 >= ends[whole] && cut <= ends[whole] {
            assert!(reader.next().is_none(), "cut at {cut}");
        } else {
            let error = reader.next().expect("an error");
            let FormatError::Content { offset, .. } = error.expect_err("cut") else {
                panic!("no place")
            };
            assert!(offset <= cut as u64 && offset >= ends[whole] as u64, "{offset} {cut}");
            assert!(reader.next().is_none());
        }
    }
}

#[test]
fn lying_archives_are_refused_before_memory_is_taken() {
    let object = |bytes: &[u8]| [b"key \0B", bytes].concat();
    let huge = i32::MAX.to_le_bytes();
    let negative = (-1i32).to_le_bytes();
    let sized = |token: &[u8], sizes: [[u8; 4]; 2]| {
        object(&[token, &[4], &sizes[0], &[4], &sizes[1]].concat())
    };
    let compressed = |token: &[u8], sizes: [[u8; 4]; 2], range: f32| {
        let range = [0f32.to_le_bytes(), range.to_le_bytes()].concat();
        object(&[token, &range, &sizes[0], &sizes[1], &[0; 64]].concat())
    };
    let two = 2i32.to_le_bytes();
    let zero = 0i32.to_le_bytes();
    for (bytes, word) in [
        (sized(b"FM ", [huge, huge]), "needs 18446744056529682436 bytes"),
        (sized(b"DM ", [huge, huge]), "needs"),
        (sized(b"FM ", [negative, two]), "size of -1"),
        (sized(b"FM ", [zero, two]), "0 rows"),
        (object(b"FV \x08\0\0\0\0"), "in 8 bytes"),
        (object(&[b"DV \x04", &huge[..]].concat()), "needs"),
        (compressed(b"CM ", [huge, huge], 1.0), "needs"),
        (compressed(b"CM2 ", [huge, two], 1.0), "needs"),
        (compressed(b"CM3 ", [negative, two], 1.0), "-1 rows"),
        (compressed(b"CM3 ", [zero, two], 1.0), "0 rows"),
        (compressed(b"CM ", [two, two], f32::NAN), "NaN"),
        (compressed(b"CM2 ", [two, two], f32::INFINITY), "inf"),
        (object(b"SM rest"), "`SM`"),
        (object(b"FMFMFMFMFMFM "), "no matrix or vector"),
        (object(b"\x04\x05\0\0\0"), "integers"),
        (b"key \0X".to_vec(), "no `B`"),
        (b"key RIFF....WAVE".to_vec(), "recordings"),
        (b"key nonsense".to_vec(), "neither"),
        (b"key".to_vec(), "a key"),
        (b"key\n[ 1 ]".to_vec(), "no key and blank"),
        (b"\0\0\0\0".to_vec(), "no key and blank"),
        (b"\xff\xfe [ 1 ]".to_vec(), "UTF-8"),
        (vec![b'k'; 10_000], "no key and blank"),
        (b"key [ 1 two ]".to_vec(), "`two`"),
        (b"key [ nan ]".to_vec(), "`nan`"),
        (b"key [ 1 1e999 ]".to_vec(), "`1e999`"),
        (b"key [\n 1 2\n 3 ]\n".to_vec(), "a row of 1"),
        ([b"key [ 0.".to_vec(), vec![b'0'; 1000], b"1 ]".to_vec()].concat(), "finite number"),
    ] {
        let sentence = refusal(entries(&bytes));
        assert!(sentence.contains(word), "{sentence}");
        assert!(sentence.contains("at byte"), "{sentence}");
    }
    // Values that are no numbers, with their place.
    let mut ark =
        written("k", &Array::from_f32(2, 2, vec![1.0; 4]), ArkFormat::Binary).expect("ok");
    let place = ark.len() - 8;
    ark[place..place + 4].copy_from_slice(&f32::NAN.to_le_bytes());
    assert!(refusal(entries(&ark)).contains(&format!("at byte {place}")));
}

#[test]
fn what_cannot_be_written_is_refused() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("it.ark");
    let nan = Array::from_f32(1, 2, vec![1.0, f32::NAN]);
    let good = Array::from_f32(1, 2, vec![1.0, 300.0]);
    let one = ArkFormat::Compressed(Compression::OneByteZeroOne);
    let byte = ArkFormat::Compressed(Compression::OneByteUnsignedInteger);
    let wide = Array::from_f32(1, 2, vec![f32::MAX, f32::MIN]);
    let auto = ArkFormat::Compressed(Compression::Automatic);
    for (array, format) in
        [(&nan, ArkFormat::Binary), (&nan, auto), (&good, one), (&good, byte), (&wide, auto)]
    {
        let mut writer = ArkWriter::create(&path, None, format).expect("created");
        let error = writer.write("k", array).expect_err("refused").to_string();
        assert!(error.contains("it.ark") && error.contains("`k`"), "{error}");
        writer.finish().expect("nothing");
        assert_eq!(std::fs::read(&path).expect("there"), b"");
        assert!(write_kaldi(&path, array, format).is_err());
    }
    let mut writer = ArkWriter::create(&path, None, ArkFormat::Binary).expect("created");
    for key in ["", "two words", "line\nbreak"] {
        assert!(writer.write(key, &good).is_err());
    }
    let cube = Array::new(vec![1, 1, 2], Values::F32(vec![1.0, 2.0])).expect("2");
    assert!(writer.write("k", &cube).is_err());
    assert!(write_npy(&path, &nan).is_err());
    let htk = |features| HtkFile { features, sample_period: 100_000, kind: HtkKind::USER };
    assert!(write_htk(&path, &htk(nan)).is_err());
    assert!(write_htk(&path, &htk(Array::from_f32(1, 9000, vec![0.0; 9000]))).is_err());
    let file = HtkFile { kind: HtkKind(6 | 0o2000), ..htk(good.clone()) };
    assert!(write_htk(&path, &file).is_err());
    let error = write_npy(&folder.path().join("no/it"), &good).expect_err("no folder").to_string();
    assert!(error.contains("folder does not exist"), "{error}");
}

#[test]
fn damaged_arrays_of_numpy_are_refused() {
    let bytes = std::fs::read(golden("version2.npy")).expect("there");
    for cut in 0..bytes.len() {
        refusal(parse_npy(bytes[..cut].to_vec(), Path::new(NAME)));
    }
    refusal(parse_npy([&bytes[..], b"x"].concat(), Path::new(NAME)));
    let npy = |header: &str, values: &[u8]| {
        let length = (header.len() as u16).to_le_bytes();
        parse_npy(
            [b"\x93NUMPY\x01\0", &length[..], header.as_bytes(), values].concat(),
            Path::new(NAME),
        )
    };
    let good = "{'descr': '<f4', 'fortran_order': False, 'shape': (1,)}";
    assert_eq!(npy(good, &1f32.to_le_bytes()).expect("good").to_f32(), [1.0]);
    assert!(refusal(npy(good, &f32::NAN.to_le_bytes())).contains("finite"));
    for (kind, values) in [
        ("'>f4'", 1f32.to_be_bytes().to_vec()),
        ("'<f8'", 1f64.to_le_bytes().to_vec()),
        ("'>f8'", 1f64.to_be_bytes().to_vec()),
        ("'<i2'", vec![1, 0]),
        ("\">i2\"", vec![0, 1]),
    ] {
        assert_eq!(npy(&good.replace("'<f4'", kind), &values).expect("good").to_f32(), [1.0]);
    }
    let scalar = good.replace("(1,)", "()");
    assert_eq!(npy(&scalar, &1f32.to_le_bytes()).expect("good").shape(), [0usize; 0]);
    for (from, to, word) in [
        ("(1,)", "(4611686018427387904, 4)", "more than 2^64"),
        ("(1,)", "(18446744073709551615,)", "more than 2^64"),
        ("(1,)", "(99999999999999999999999,)", "no shape"),
        ("(1,)", "(-1,)", "no shape"),
        ("(1,)", "1", "no shape"),
        ("'<f4'", "'|O'", "`|O`"),
        ("'<f4'", "'<U4'", "`<U4`"),
        ("'<f4'", "[('a', '<f4')]", "several kinds"),
        ("'<f4'", "<f4", "several kinds"),
        ("False", "Maybe", "neither"),
        ("'shape'", "'form'", "a key that no .npy has"),
        ("'shape': (1,)", "", "lacks"),
        ("False,", "False;", "no comma"),
        ("{", "", "no dictionary"),
        ("'descr':", "'descr'", "without a value"),
        ("'descr'", "descr", "no string"),
    ] {
        let header = good.replacen(from, to, 1);
        assert_ne!(header, good);
        let sentence = refusal(npy(&header, &1f32.to_le_bytes()));
        assert!(sentence.contains(word), "{sentence}");
    }
    // An empty array of an impossible side.
    let empty = good.replace("(1,)", "(0, 18446744073709551615)");
    assert!(npy(&empty, &[]).expect("no values").values().is_empty());
    assert!(refusal(parse_npy(b"PK\x03\x04rest".to_vec(), Path::new(NAME))).contains(".npz"));
    assert!(
        refusal(parse_npy(b"\x93NUMPY\x09\0..".to_vec(), Path::new(NAME))).contains("version 9")
    );
    let lie = [b"\x93NUMPY\x02\0", &u32::MAX.to_le_bytes()[..]].concat();
    assert!(refusal(parse_npy(lie, Path::new(NAME))).contains("4294967295"));
}

#[test]
fn damaged_parameter_files_of_htk_are_refused() {
    for name in ["fbank.htk", "compressed.htk"] {
        let bytes = std::fs::read(golden(name)).expect("there");
        for cut in 0..bytes.len() {
            refusal(parse_htk(bytes[..cut].to_vec(), Path::new(NAME)));
        }
        refusal(parse_htk([&bytes[..], b"x"].concat(), Path::new(NAME)));
        // The other byte order.
        let mut turned = bytes.clone();
        turned[..4].reverse();
        assert!(refusal(parse_htk(turned, Path::new(NAME))).contains("byte order"));
    }
    let mut bytes = std::fs::read(golden("fbank.htk")).expect("there");
    bytes[12..16].copy_from_slice(&f32::NAN.to_be_bytes());
    assert!(refusal(parse_htk(bytes, Path::new(NAME))).contains("not a finite number"));
    // Compressed frames without room for their scales, and with a scale of zero.
    let mut few = std::fs::read(golden("compressed.htk")).expect("there");
    few[3] = 3;
    few.truncate(12 + 3 * 10 + 2);
    assert!(refusal(parse_htk(few, Path::new(NAME))).contains("begins with 4"));
    let mut flat = std::fs::read(golden("compressed.htk")).expect("there");
    flat[12..16].fill(0);
    assert!(refusal(parse_htk(flat, Path::new(NAME))).contains("not a finite number"));
}

#[test]
fn htks_own_files_are_read() {
    let Some(folder) = std::env::var_os("LABYRINTH_DATA") else {
        println!("SKIPPED: set LABYRINTH_DATA to the folder that holds kaldi-feat");
        return;
    };
    let folder = PathBuf::from(folder).join("kaldi-feat");
    for (name, kind, dim) in [
        ("test.wav.fbank_htk.1", "FBANK", 23),
        ("test.wav.fea_htk.1", "MFCC_D_A_0", 39),
        ("test.wav.fea_htk.2", "MFCC_E_D_A", 39),
        ("test.wav.plp_htk.1", "PLP_D_A_0", 39),
    ] {
        let file = read_htk(&folder.join(name)).expect("HTK's output");
        assert_eq!((file.kind.to_string().as_str(), file.sample_period), (kind, 100_000));
        assert_eq!(file.features.shape(), [142, dim]);
    }
}

fn finite_f32() -> impl Strategy<Value = f32> {
    prop_oneof![any::<f32>().prop_filter("finite", |v| v.is_finite()), -100f32..100.0]
}

/// The bounds of the errors, as the file about compression states them.
fn bound(method: Compression, rows: usize, column: &[f32], value: f32, range: f32) -> f32 {
    let step = range / 65535.0;
    match method {
        Compression::Automatic if rows <= 8 => step * 0.51,
        Compression::TwoByteAuto => step * 0.51,
        Compression::OneByteAuto => range / 255.0 * 0.51,
        _ => {
            let mut sorted = column.to_vec();
            sorted.sort_by(f32::total_cmp);
            let at = |place: usize| sorted[place.min(rows - 1)];
            let places = match rows {
                5.. => [0, rows / 4, 3 * (rows / 4), rows - 1],
                _ => [0, 1, 2, 3],
            };
            let marks = places.map(at);
            // The stretch a value falls into may be either neighbour's, by the marks' rounding.
            let mut bound = 0f32;
            for (pair, steps) in marks.windows(2).zip([128.0, 256.0, 126.0]) {
                if value >= pair[0] - 4.0 * step && value <= pair[1] + 4.0 * step {
                    bound = bound.max((pair[1] - pair[0]) / steps);
                }
            }
            // Marks that coincide are moved apart by a step each.
            bound + 4.0 * step
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..Default::default() })]

    #[test]
    fn uncompressed_round_trips_are_exact(
        rows in 1..20usize, columns in 1..8usize, double: bool, vector: bool,
        seed in proptest::collection::vec(finite_f32(), 160),
    ) {
        let rows = if vector { 1 } else { rows };
        let values = seed[..rows * columns].to_vec();
        let shape = if vector { vec![columns] } else { vec![rows, columns] };
        let doubles = values.iter().map(|value| f64::from(*value) / 3.0).collect();
        let array = match double {
            true => Array::new(shape.clone(), Values::F64(doubles)),
            false => Array::new(shape.clone(), Values::F32(values.clone())),
        };
        let array = array.expect("as many values");
        let bytes = written("k", &array, ArkFormat::Binary).expect("finite");
        prop_assert_eq!(&entries(&bytes).expect("ours")[0].1, &array);
        let text = entries(&written("k", &array, ArkFormat::Text).expect("finite")).expect("ours");
        prop_assert_eq!(text[0].1.shape(), &shape[..]);
        match array.values() {
            Values::F64(values) => prop_assert_eq!(f64s(&text[0].1), &values[..]),
            _ => prop_assert_eq!(text[0].1.to_f32(), values.clone()),
        }
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("it");
        write_npy(&path, &array).expect("finite");
        prop_assert_eq!(&read_npy(&path).expect("ours"), &array);
        write_kaldi(&path, &array, ArkFormat::Binary).expect("finite");
        prop_assert_eq!(&read_kaldi(&path, 0).expect("ours"), &array);
        if !double && !vector {
            let file = HtkFile {
                features: array,
                sample_period: rows as u32,
                kind: HtkKind(HtkKind::MFCC.0 | 0o400),
            };
            write_htk(&path, &file).expect("a matrix");
            prop_assert_eq!(read_htk(&path).expect("ours"), file);
        }
    }

    #[test]
    fn compression_errs_no_more_than_stated(
        rows in 1..60usize, columns in 1..5usize, method in 0..4usize,
        seed in proptest::collection::vec(-100f32..100.0, 300), squeeze in 0..4i32,
    ) {
        use Compression::*;
        let method = [Automatic, SpeechFeature, TwoByteAuto, OneByteAuto][method];
        let values: Vec<f32> =
            seed[..rows * columns].iter().map(|v| v.powi(2 * squeeze + 1)).collect();
        let array = Array::from_f32(rows, columns, values.clone());
        let bytes = written("k", &array, ArkFormat::Compressed(method)).expect("finite");
        let read = entries(&bytes).expect("ours")[0].1.to_f32();
        let least = values.iter().fold(f32::INFINITY, |a, b| a.min(*b));
        let greatest = values.iter().fold(f32::NEG_INFINITY, |a, b| a.max(*b));
        let range = if least == greatest { 1.0 + least.abs() } else { greatest - least };
        for (index, (value, read)) in values.iter().zip(&read).enumerate() {
            let column: Vec<f32> = values[index % columns..].iter().step_by(columns).copied().collect();
            let bound = bound(method, rows, &column, *value, range) + 1e-6 * range;
            prop_assert!((value - read).abs() <= bound, "{} {} {}", value, read, bound);
        }
    }

    /// Damage anywhere is an entry more or less, or an error, and never a panic.
    #[test]
    fn damage_never_panics(changes in proptest::collection::vec((any::<u16>(), any::<u8>()), 1..4)) {
        let (mut ark, _) = small_ark();
        let mut files = vec![std::mem::take(&mut ark)];
        for name in ["f4.npy", "version3.npy", "cube.npy", "fbank.htk", "compressed.htk"] {
            files.push(std::fs::read(golden(name)).expect("there"));
        }
        for bytes in &mut files {
            for (place, byte) in &changes {
                let place = usize::from(*place) % bytes.len();
                bytes[place] = *byte;
            }
            let _ = entries(bytes);
            let _ = parse_npy(bytes.clone(), Path::new(NAME));
            let _ = parse_htk(bytes.clone(), Path::new(NAME));
            let _ = parse_scp(bytes, Path::new(NAME));
        }
    }
}
