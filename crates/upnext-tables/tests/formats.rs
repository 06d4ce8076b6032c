//! The same events in every format, their order, and what the prepared folder says.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use upnext_data::{Catalog, Histories, ItemId, Prepared, UserId};
use upnext_tables::{Columns, Format, PrepareOptions, prepare, read, write_events, write_items};

fn write(folder: &Path, name: &str, bytes: impl AsRef<[u8]>) -> PathBuf {
    let path = folder.join(name);
    std::fs::write(&path, bytes).unwrap();
    path
}

fn options(events: &[&PathBuf]) -> PrepareOptions {
    PrepareOptions {
        events: events.iter().map(|path| path.to_path_buf()).collect(),
        ..PrepareOptions::default()
    }
}

fn histories(options: &PrepareOptions) -> Histories {
    read(options, &mut |_| ControlFlow::Continue(())).unwrap().1
}

/// Item keys of a user's history.
fn of<'a>(catalog: &'a Catalog, histories: &Histories, user: &str) -> Vec<&'a str> {
    let user = histories.find_user(user).unwrap();
    histories.of(user).items.iter().map(|item| catalog.key(*item)).collect()
}

const ROWS: [(&str, &str); 7] =
    [("7", "b"), ("10", "a"), ("7", "c"), ("7", "a"), ("10", "ä"), ("9", "b"), ("10", "c")];

/// `ROWS` with a header; the time is the position within the user.
fn with_header(separator: char, line_end: &str) -> String {
    let mut text = ["user_id", "item_id", "timestamp"].join(&separator.to_string()) + line_end;
    for (index, (user, item)) in ROWS.iter().enumerate() {
        let position = ROWS[..=index].iter().filter(|(other, _)| other == user).count();
        text += &format!("{user}{separator}{item}{separator}{position}{line_end}");
    }
    text
}

#[test]
fn the_same_events_in_every_format_give_the_same_histories() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let sasrec: String = ROWS.iter().map(|(user, item)| format!("{user} {item}\n")).collect();
    let plain = [
        ("a.csv", with_header(',', "\n")),
        ("b.csv", with_header(',', "\r\n")),
        ("c.csv", format!("\u{feff}{}", with_header(',', "\n"))),
        ("d.csv", with_header(',', "\n").trim_end().to_owned()),
        ("e.tsv", with_header('\t', "\n")),
        ("f.txt", sasrec.clone()),
        ("g.txt", sasrec.replace(' ', "\t").replace('\n', " \r\n\r\n")),
        ("misnamed.tsv", with_header(',', "\n")),
    ];
    let expected = histories(&options(&[&write(folder, plain[0].0, &plain[0].1)]));
    assert_eq!((expected.users(), expected.events()), (3, 7));
    let keys: Vec<_> = (0..3).map(|user| expected.user_key(UserId(user))).collect();
    assert_eq!(keys, ["10", "7", "9"], "users are numbered in byte order");
    for (name, text) in &plain {
        let path = write(folder, name, text);
        assert_eq!(histories(&options(&[&path])), expected, "{name}");
        let packed = write(folder, &format!("{name}.zst"), zstd::encode_all(text.as_bytes(), 3).unwrap());
        assert_eq!(histories(&options(&[&packed])), expected, "{name}.zst");
        let misnamed = write(folder, name, zstd::encode_all(text.as_bytes(), 3).unwrap());
        assert_eq!(histories(&options(&[&misnamed])), expected, "{name}, compressed without .zst");
    }
}

#[test]
fn equal_times_keep_the_order_of_the_files() {
    let folder = tempfile::tempdir().unwrap();
    let first = write(folder.path(), "1.csv", "item_id,timestamp,user_id\nd,5,u\nb,5,u\nz,9,v\nc,1,u\n");
    let second =
        write(folder.path(), "2.tsv", "user_id\titem_id\textra\ttimestamp\nu\ta\t?\t5.0\nu\te\t?\t-1\n");
    let (catalog, histories) =
        read(&options(&[&first, &second]), &mut |_| ControlFlow::Continue(())).unwrap();
    assert_eq!(of(&catalog, &histories, "u"), ["e", "c", "d", "b", "a"]);
    assert_eq!(histories.of(UserId(0)).times, [-1, 1, 5, 5, 5]);
    let (catalog, histories) =
        read(&options(&[&second, &first]), &mut |_| ControlFlow::Continue(())).unwrap();
    assert_eq!(of(&catalog, &histories, "u"), ["e", "c", "a", "d", "b"]);
}

#[test]
fn sasrec_positions_go_on_over_files() {
    let folder = tempfile::tempdir().unwrap();
    let first = write(folder.path(), "1.txt", "u a\nv a\nu b\n");
    let second = write(folder.path(), "2.txt", "u c\nv d\n");
    let histories = histories(&options(&[&first, &second]));
    assert_eq!(histories.of(UserId(0)).times, [1, 2, 3]);
    assert_eq!(histories.of(UserId(1)).times, [1, 2]);
}

#[test]
fn columns_are_mapped_and_quoted_fields_are_whole() {
    let folder = tempfile::tempdir().unwrap();
    let text = "\"who\",when,what\n\"a, \"\"b\"\"\",2,\"x\ny\"\nc,1,z\n";
    let path = write(folder.path(), "log.csv", text);
    let columns = Columns { user: Some("who".into()), item: Some("what".into()), time: Some("when".into()) };
    let (catalog, histories) =
        read(&PrepareOptions { columns, ..options(&[&path]) }, &mut |_| ControlFlow::Continue(())).unwrap();
    assert_eq!(histories.user_key(UserId(0)), "a, \"b\"");
    assert_eq!(catalog.key(ItemId(0)), "x\ny");
}

#[test]
fn a_format_can_be_forced() {
    let folder = tempfile::tempdir().unwrap();
    let path = write(folder.path(), "log.csv", "user_id,1 item_id,2\n");
    let forced = PrepareOptions { format: Some(Format::SasRec), ..options(&[&path]) };
    assert_eq!(histories(&forced).user_key(UserId(0)), "user_id,1");
}

#[test]
fn item_files_add_columns_and_with_all_items_rows() {
    let folder = tempfile::tempdir().unwrap();
    let events = write(folder.path(), "e.csv", "user_id,item_id,timestamp\nu,b,1\nu,d,2\n");
    let items = write(folder.path(), "i.tsv", "title\titem_id\tgenres\nBee\tb\tX|Y\nA a\ta\t\n");
    let some = PrepareOptions { items: Some(items), ..options(&[&events]) };
    let (catalog, _) = read(&some, &mut |_| ControlFlow::Continue(())).unwrap();
    assert_eq!(catalog.len(), 2);
    assert_eq!(catalog.title(ItemId(0)), Some("Bee"));
    assert_eq!(catalog.title(ItemId(1)), None, "d has no row");
    assert_eq!(catalog.column("genres").unwrap().values.get(0), "X|Y");
    let all = PrepareOptions { all_items: true, ..some.clone() };
    let (catalog, histories) = read(&all, &mut |_| ControlFlow::Continue(())).unwrap();
    assert_eq!((0..3).map(|id| catalog.key(ItemId(id))).collect::<Vec<_>>(), ["a", "b", "d"]);
    assert_eq!(of(&catalog, &histories, "u"), ["b", "d"]);
    let summary = prepare(&some, &folder.path().join("out"), &mut |_| ControlFlow::Continue(())).unwrap();
    assert_eq!((summary.items, summary.items_without_events, summary.items_without_row), (2, 1, 1));
}

#[test]
fn the_same_files_give_the_same_bytes() {
    let folder = tempfile::tempdir().unwrap();
    let path = write(folder.path(), "e.csv", with_header(',', "\n"));
    let outs = ["one", "two"].map(|name| folder.path().join(name));
    for out in &outs {
        prepare(&options(&[&path]), out, &mut |_| ControlFlow::Continue(())).unwrap();
    }
    for entry in std::fs::read_dir(&outs[0]).unwrap() {
        let name = entry.unwrap().file_name();
        let [one, two] = outs.each_ref().map(|out| std::fs::read(out.join(&name)).unwrap());
        assert!(one == two, "{name:?} differs");
    }
}

#[test]
fn written_logs_are_read_back_as_they_were() {
    let folder = tempfile::tempdir().unwrap();
    let path = write(folder.path(), "e.csv", with_header(',', "\n"));
    let items = write(folder.path(), "i.csv", "item_id,title\na,\"One, \"\"two\"\"\"\nc,\n");
    let (catalog, histories) =
        read(&PrepareOptions { items: Some(items), ..options(&[&path]) }, &mut |_| ControlFlow::Continue(()))
            .unwrap();
    let [events, items] = ["e2.csv", "i2.csv"].map(|name| folder.path().join(name));
    write_events(&events, &catalog, &histories).unwrap();
    write_items(&items, &catalog).unwrap();
    let again = read(&PrepareOptions { items: Some(items), ..options(&[&events]) }, &mut |_| {
        ControlFlow::Continue(())
    })
    .unwrap();
    assert_eq!(again, (catalog, histories));
}

#[test]
fn real_logs_have_the_counts_that_their_readme_says() {
    let data = std::env::var_os("UPNEXT_DATA").map(PathBuf::from);
    let data = data.unwrap_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/data"));
    let counts = [("ml-100k", 943, 1_682, 100_000), ("amazon-beauty", 22_363, 12_101, 198_502)];
    let folder = tempfile::tempdir().unwrap();
    for (name, users, items, events) in counts {
        let log = data.join(name).join("interactions.csv.zst");
        if !log.exists() {
            println!("skipped {name}: no {}", log.display());
            continue;
        }
        let titles = data.join(name).join("items.csv.zst");
        let out = folder.path().join(name);
        let summary = prepare(&PrepareOptions { items: Some(titles), ..options(&[&log]) }, &out, &mut |_| {
            ControlFlow::Continue(())
        })
        .unwrap();
        assert_eq!((summary.users, summary.items, summary.events), (users, items, events), "{name}");
        assert_eq!(Prepared::open(&out).unwrap().histories.events(), events);
    }
}
