use std::{fs, path::Path};

use proptest::{collection::vec, prelude::*};
use tempfile::TempDir;

use super::*;

const MIB: u64 = 1024 * 1024;

/// On the disk that the program was built on: what is for temporary files may be memory.
fn folder_on_disk() -> TempDir {
    let program = std::env::current_exe().unwrap();
    tempfile::tempdir_in(program.parent().unwrap()).unwrap()
}

fn appender_in(folder: &Path) -> Appender {
    let path = folder.join("spool");
    let file = File::options()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .open(&path)
        .unwrap();
    Appender::new(file, path)
}

/// Every 4 bytes say where they are.
fn content(len: u64) -> Bytes {
    let words = len.div_ceil(4);
    let bytes = (0..u32::try_from(words).unwrap()).flat_map(u32::to_le_bytes);
    Bytes::from_owner(bytes.collect::<Vec<_>>()).slice(..usize::try_from(len).unwrap())
}

/// Cuts a step at these lengths, again and again.
fn chunks(mut bytes: Bytes, lengths: &[usize]) -> Vec<Bytes> {
    let mut chunks = Vec::new();
    for length in lengths.iter().cycle() {
        if bytes.is_empty() {
            break;
        }
        chunks.push(bytes.split_to(bytes.len().min(*length)));
    }
    chunks
}

/// Appends one step; what was told is gapless and never ahead of the file.
fn append(appender: &mut Appender, bytes: &[Bytes], from: u64) -> u64 {
    let file = Arc::clone(appender.file());
    let mut told = from;
    appender
        .append(bytes, from, |position| {
            assert!(position > told);
            assert_eq!(file.metadata().unwrap().len(), position);
            told = position;
        })
        .unwrap();
    told
}

fn is_direct(appender: &Appender) -> bool {
    matches!(appender.way, Way::Direct(_))
}

/// Lengths about the edges of pages and pieces.
fn edge() -> impl Strategy<Value = u64> {
    let whole = prop_oneof![
        Just(0),
        Just(4096),
        Just(MIB),
        Just(MIB + 4096),
        Just(2 * MIB)
    ];
    (whole, -3_i64..=3).prop_map(|(whole, off)| whole.saturating_add_signed(off))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn the_file_is_what_was_appended(
        steps in vec(edge(), 1..5),
        lengths in vec(prop_oneof![1_usize..100, 4095_usize..4098, 100_000_usize..3_000_000], 1..6),
        keep in any::<bool>(),
    ) {
        let folder = folder_on_disk();
        let mut appender = appender_in(folder.path());
        let all = content(steps.iter().sum());
        let mut position = 0;
        for step in steps {
            if !keep {
                // As after a restart: at whatever offset it was.
                appender = appender_in(folder.path());
            }
            appender.pace = Pace::new(0);
            let from = usize::try_from(position).unwrap();
            let to = usize::try_from(position + step).unwrap();
            let told = append(&mut appender, &chunks(all.slice(from..to), &lengths), position);
            position += step;
            prop_assert_eq!(told, position);
            let span = direct_span(position - step, step);
            prop_assert!(span.is_none() || is_direct(&appender));
        }
        prop_assert!(fs::read(folder.path().join("spool")).unwrap() == all);
    }

    #[test]
    fn a_direct_span_is_whole_pages_of_the_step(position in 0..3 * MIB, length in 0..3 * MIB) {
        let page = ALIGNMENT as u64;
        match direct_span(position, length) {
            Some(span) => {
                prop_assert!(span.start.is_multiple_of(page) && span.end.is_multiple_of(page));
                prop_assert!(span.start - position < page && position + length - span.end < page);
                prop_assert!(position <= span.start && span.end <= position + length);
                prop_assert!(span.end - span.start >= DIRECT_BYTES);
            }
            None => prop_assert!(length < DIRECT_BYTES + 2 * page),
        }
    }
}

#[test]
fn small_steps_go_through_the_page_cache() {
    let folder = folder_on_disk();
    let mut appender = appender_in(folder.path());
    append(&mut appender, &[content(MIB - 1)], 0);
    assert!(matches!(appender.way, Way::Untried));
    append(&mut appender, &[content(2 * MIB)], MIB - 1);
    assert!(matches!(appender.way, Way::Direct(_)));
}

#[test]
fn a_file_system_in_memory_takes_large_steps_too() {
    let folder = tempfile::tempdir_in("/dev/shm").unwrap();
    let mut appender = appender_in(folder.path());
    let all = content(5 * MIB + 5);
    let told = append(&mut appender, &chunks(all.clone(), &[70_000]), 0);
    assert_eq!(told, 5 * MIB + 5);
    assert!(fs::read(folder.path().join("spool")).unwrap() == all);
}

#[test]
fn a_refused_direct_write_is_made_through_the_page_cache() {
    let folder = folder_on_disk();
    let mut appender = appender_in(folder.path());
    let path = folder.path().join("spool");
    let direct = Direct::open(&path).unwrap();
    // An offset within a block is what each file system refuses.
    let all = content(3 * MIB);
    append(&mut appender, &[all.slice(..7)], 0);
    let (mut told, rest) = (7, all.slice(7..));
    let mut slices = [IoSlice::new(&rest)];
    let mut slices = slices.as_mut_slice();
    appender.way = Way::Buffered;
    let reached = &mut |position| told = position;
    let position = appender
        .append_directly(direct, &mut slices, 7, 7..3 * MIB, reached)
        .unwrap();
    assert!(matches!(appender.way, Way::Buffered));
    assert_eq!((position, told), (7 + MIB, 7 + MIB));
    write_slices(appender.file(), slices, position, |_| ()).unwrap();
    assert!(fs::read(path).unwrap() == all);
}

#[test]
fn a_full_disk_is_told_by_either_way() {
    for way in [Way::Untried, Way::Buffered] {
        let mut appender = appender_in(folder_on_disk().path());
        appender.file = Arc::new(File::options().write(true).open("/dev/full").unwrap());
        appender.path = "/dev/full".into();
        appender.way = way;
        let error = appender.append(&[content(2 * MIB)], 0, |_| ()).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::StorageFull);
    }
}

#[test]
fn a_slow_disk_is_left_to_the_page_cache() {
    let folder = folder_on_disk();
    let mut appender = appender_in(folder.path());
    appender.pace = Pace::new(u64::MAX);
    let all = content(40 * MIB + 1);
    append(&mut appender, &[all.slice(..1), all.slice(1..)], 0);
    assert!(matches!(appender.way, Way::Buffered));
    assert!(fs::read(folder.path().join("spool")).unwrap() == all);
}

#[test]
fn speed_is_judged_by_the_window() {
    let second = Duration::from_secs(1);
    let mut pace = Pace::new(JUDGED_BYTES);
    assert!(pace.keeps_up(JUDGED_BYTES / 2, second * 3)); // late once
    assert!(!pace.keeps_up(JUDGED_BYTES / 2, Duration::ZERO));
    assert!(pace.keeps_up(JUDGED_BYTES, second));
    assert!(!pace.keeps_up(JUDGED_BYTES, second + Duration::from_nanos(1)));
}

#[test]
fn a_reader_that_follows_sees_what_was_written() {
    let folder = folder_on_disk();
    let mut appender = appender_in(folder.path());
    appender.pace = Pace::new(0);
    let all = content(24 * MIB);
    let (file, expected) = (Arc::clone(appender.file()), all.clone());
    let (tell, told) = std::sync::mpsc::channel::<u64>();
    let reader = std::thread::spawn(move || {
        let (mut position, mut buffer) = (0, vec![0; 100_000]);
        for end in told {
            while position < end {
                let wanted = usize::try_from(end - position).unwrap().min(buffer.len());
                let read = file.read_at(&mut buffer[..wanted], position).unwrap();
                let from = usize::try_from(position).unwrap();
                assert!(
                    read > 0 && buffer[..read] == expected[from..from + read],
                    "{from}"
                );
                position += read as u64;
            }
        }
        position
    });
    let mut position = 0;
    for step in all.chunks(3 * 1024 * 1024 + 1234) {
        let chunks = chunks(all.slice_ref(step), &[16_384, 1, 70_001]);
        let reached = |position| tell.send(position).unwrap();
        appender.append(&chunks, position, reached).unwrap();
        position += step.len() as u64;
    }
    assert!(is_direct(&appender));
    drop(tell);
    assert_eq!(reader.join().unwrap(), 24 * MIB);
}
