//! The same events in every format, their order, and what the prepared folder says.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod support;

use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use upnext_data::{Catalog, EventValues, Histories, ItemId, Prepared, UserId};
use upnext_tables::{Columns, Format, PrepareOptions, Progress, prepare, read, write_events, write_items};

use support::{histories, options, write};

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

/// `ROWS` in every text format, with its file name.
fn in_every_format() -> Vec<(&'static str, String)> {
    let rows = || {
        ROWS.iter().enumerate().map(|(index, (user, item))| {
            let position = ROWS[..=index].iter().filter(|(other, _)| other == user).count();
            (user, item, position)
        })
    };
    let lines = |line: &dyn Fn(&str, &str, usize) -> String| -> String {
        rows().map(|(user, item, time)| line(user, item, time)).collect()
    };
    let sasrec = lines(&|user, item, _| format!("{user} {item}\n"));
    let recbole = "user_id:token\titem_id:token\trating:float\ttimestamp:float\n".to_owned();
    vec![
        ("a.csv", with_header(',', "\n")),
        ("b.csv", with_header(',', "\r\n")),
        ("c.csv", format!("\u{feff}{}", with_header(',', "\n"))),
        ("d.csv", with_header(',', "\n").trim_end().to_owned()),
        ("e.tsv", with_header('\t', "\n")),
        ("misnamed.tsv", with_header(',', "\n")),
        ("ratings.csv", with_header(',', "\n").replace("user_id,item_id", "userId,movieId")),
        ("millis.csv", with_header(',', "\n").replace("timestamp", "ts")),
        ("f.txt", sasrec.clone()),
        ("g.txt", sasrec.replace(' ', "\t").replace('\n', " \r\n\r\n")),
        (
            "log.jsonl",
            lines(&|user, item, time| {
                format!(
                    "{{\"user_id\": {user}, \"x\": [1, {{}}], \"item_id\": \"{item}\", \"timestamp\": {time}}}\n"
                )
            }),
        ),
        ("ratings.dat", lines(&|user, item, time| format!("{user}::{item}::5::{time}\n"))),
        ("inter.inter", recbole + &lines(&|user, item, time| format!("{user}\t{item}\t3.5\t{time}.0\n"))),
        (
            "dates.csv",
            "user,item,date\n".to_owned()
                + &lines(&|user, item, time| format!("{user},{item},1970-01-01T00:00:0{time}Z\n")),
        ),
    ]
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut out = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    std::io::Write::write_all(&mut out, bytes).unwrap();
    out.finish().unwrap()
}

fn xz(bytes: &[u8]) -> Vec<u8> {
    let mut out = liblzma::write::XzEncoder::new(Vec::new(), 3);
    std::io::Write::write_all(&mut out, bytes).unwrap();
    out.finish().unwrap()
}

#[test]
fn the_same_events_in_every_format_give_the_same_histories() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let expected = histories(&options(&[&write(folder, "a.csv", with_header(',', "\n"))]));
    assert_eq!((expected.users(), expected.events()), (3, 7));
    let keys: Vec<_> = (0..3).map(|user| expected.user_key(UserId(user))).collect();
    assert_eq!(keys, ["10", "7", "9"], "users are numbered in byte order");
    for (name, text) in in_every_format() {
        let check = |name: &str, bytes: &[u8]| {
            let path = write(folder, name, bytes);
            assert_eq!(histories(&options(&[&path])), expected, "{name}");
        };
        check(name, text.as_bytes());
        check(&format!("{name}.gz"), &gzip(text.as_bytes()));
        check(&format!("{name}.zst"), &zstd::encode_all(text.as_bytes(), 3).unwrap());
        check(&format!("{name}.xz"), &xz(text.as_bytes()));
        // The content tells the compression, the name does not; and compressed files may be joined.
        check(name, &zstd::encode_all(text.as_bytes(), 3).unwrap());
        let (one, two) = text.as_bytes().split_at(text.len() / 2);
        check(name, &[gzip(one), gzip(two)].concat());
        check(name, &[xz(one), xz(two)].concat());
    }
}

#[test]
fn order_of_rows_and_cuts_into_files_do_not_matter_beyond_equal_times() {
    let folder = tempfile::tempdir().unwrap();
    // Many users of equal times: within a user and a time, rows keep their order.
    let rows: Vec<(u32, u32, u32)> = (0..600).map(|n| (n * 7 % 31, n * 11 % 53, n / 60 % 4)).collect();
    let text = |rows: &[(u32, u32, u32)]| -> String {
        let lines = rows.iter().map(|(user, item, time)| format!("{user},{item},{time}\n"));
        "user_id,item_id,timestamp\n".to_owned() + &lines.collect::<String>()
    };
    let whole = write(folder.path(), "whole.csv", text(&rows));
    let expected = read(&options(&[&whole]), &mut |_| ControlFlow::Continue(())).unwrap();
    let mut shuffled = rows.clone();
    shuffled.sort_by_key(|(user, _, time)| (user * 17 % 31, (time * 3 + user) % 4));
    assert_ne!(shuffled, rows);
    let shuffled = write(folder.path(), "shuffled.csv", text(&shuffled));
    assert_eq!(read(&options(&[&shuffled]), &mut |_| ControlFlow::Continue(())).unwrap(), expected);
    let parts = folder.path().join("parts");
    std::fs::create_dir(&parts).unwrap();
    write(&parts, "_SUCCESS", "");
    for (index, rows) in rows.chunks(60).enumerate() {
        write(&parts, &format!("part-{index:02}.csv"), text(rows));
    }
    assert_eq!(read(&options(&[&parts]), &mut |_| ControlFlow::Continue(())).unwrap(), expected);
    let pattern = parts.join("part-*.csv");
    assert_eq!(read(&options(&[&pattern]), &mut |_| ControlFlow::Continue(())).unwrap(), expected);
}

#[test]
fn conditions_bounds_and_the_core_leave_out_what_they_say() {
    let folder = tempfile::tempdir().unwrap();
    let text = "user_id,item_id,rating,date\n\
        a,x,5,2020-01-01\na,y,5,2020-01-02\na,z,2,2020-01-03\n\
        b,x,4,2020-01-01\nb,y,4.5,2020-01-02\nb,w,4,2020-01-03\n\
        c,w,4,2020-01-05\nc,x,5,2020-02-01\n";
    let path = write(folder.path(), "e.csv", text);
    let keep = || vec!["rating >= 4".parse().unwrap()];
    let all =
        || PrepareOptions { keep: keep(), to: Some("2020-02-01".parse().unwrap()), ..options(&[&path]) };
    let out = |name: &str| folder.path().join(name);
    let listen = &mut |_: Progress| ControlFlow::Continue(());
    let summary = prepare(&all(), &out("kept"), listen).unwrap();
    assert_eq!((summary.users, summary.items, summary.events, summary.filtered), (3, 3, 6, 2));
    // Then c has one event and goes, w with one event left goes, a and b keep x and y.
    let core = PrepareOptions { min_user_events: 2, min_item_events: 2, ..all() };
    let summary = prepare(&core, &out("core"), listen).unwrap();
    assert_eq!((summary.users, summary.items, summary.events, summary.thinned), (2, 2, 4, 2));
    let (catalog, histories) = read(&core, listen).unwrap();
    assert_eq!(of(&catalog, &histories, "b"), ["x", "y"]);
    assert_eq!(histories.of(UserId(0)).times[1] - histories.of(UserId(0)).times[0], 86_400);
    let none = PrepareOptions { min_item_events: 5, ..all() };
    let error = read(&none, listen).unwrap_err().to_string();
    assert!(error.starts_with("no event is left: no user has 0 events of items that have 5"), "{error}");
    let none = PrepareOptions { keep: vec!["rating > 9".parse().unwrap()], ..all() };
    let error = read(&none, listen).unwrap_err().to_string();
    assert!(error.starts_with("no event is left of 8: --keep"), "{error}");
}

#[test]
fn kept_columns_are_typed_and_stay_with_their_events() {
    let folder = tempfile::tempdir().unwrap();
    let text = "user_id,item_id,rating,device,timestamp\n\
        b,x,,tv,9\nb,y,4.5,,3\na,z,2,web,5\na,x,,tv,5\nb,w,1,phone,7\n";
    let path = write(folder.path(), "e.csv", text);
    let event_columns = ["rating", "device"].map(|name| name.parse().unwrap()).to_vec();
    let kept = PrepareOptions { event_columns, ..options(&[&path]) };
    let (catalog, histories) = read(&kept, &mut |_| ControlFlow::Continue(())).unwrap();
    assert_eq!(of(&catalog, &histories, "b"), ["y", "w", "x"]);
    let [rating, device] = histories.columns() else { panic!("two columns were asked for") };
    let EventValues::Numbers(ratings) = &rating.values else { panic!("ratings are numbers") };
    let bits = |values: &[f32]| values.iter().map(|value| value.to_bits()).collect::<Vec<_>>();
    assert_eq!(bits(ratings), bits(&[2.0, f32::NAN, 4.5, 1.0, f32::NAN]));
    let EventValues::Categories { codes, vocabulary } = &device.values else {
        panic!("devices are categories")
    };
    assert_eq!(vocabulary.iter().collect::<Vec<_>>(), ["", "phone", "tv", "web"]);
    assert_eq!(codes, &[3, 2, 0, 1, 2]);
    // Written and read again, and with too few events left out, they are the same.
    let out = folder.path().join("out");
    prepare(&kept, &out, &mut |_| ControlFlow::Continue(())).unwrap();
    assert_eq!(Prepared::open(&out).unwrap().histories, histories);
    let core = PrepareOptions { min_item_events: 2, ..kept.clone() };
    let (_, thinned) = read(&core, &mut |_| ControlFlow::Continue(())).unwrap();
    assert_eq!(thinned.columns()[1].len(), 2);
    let typed =
        |column: &str| PrepareOptions { event_columns: vec![column.parse().unwrap()], ..kept.clone() };
    let error = read(&typed("device:number"), &mut |_| ControlFlow::Continue(())).unwrap_err().to_string();
    assert!(
        error
            .ends_with(":2: column \"device\": \"tv\" is not a number; name it device:category to keep text"),
        "{error}"
    );
    let skipping = PrepareOptions { max_bad_rows: 9, ..typed("device:number") };
    let (catalog, histories) = read(&skipping, &mut |_| ControlFlow::Continue(())).unwrap();
    assert_eq!(of(&catalog, &histories, "b"), ["y"], "rows without a number are bad rows as a whole");
    let error = read(&typed("colour"), &mut |_| ControlFlow::Continue(())).unwrap_err().to_string();
    assert!(error.contains("no column \"colour\"") && error.ends_with("--event-column"), "{error}");
}

#[test]
fn event_files_may_describe_their_items() {
    let folder = tempfile::tempdir().unwrap();
    let head = "user_id,item_id,title,price,timestamp,stars\n";
    let rows = [
        "b,x,Old name,1.5,3,4\n",
        "a,x,New name,,9,5\n",
        "a,y,,2,4,1\n",
        "c,x,New nam,,9,2\n",
        "c,y,,,7,3\n",
    ];
    let described = |rows: &[&str]| {
        let path = write(folder.path(), "e.csv", head.to_owned() + &rows.concat());
        let item_columns = vec!["title".to_owned(), "price".to_owned()];
        let event_columns = vec!["stars".parse().unwrap()];
        let all = PrepareOptions { item_columns, event_columns, ..options(&[&path]) };
        read(&all, &mut |_| ControlFlow::Continue(())).unwrap()
    };
    let (catalog, histories) = described(&rows);
    assert_eq!([catalog.title(ItemId(0)), catalog.title(ItemId(1))], [Some("New name"), None]);
    let prices = &catalog.column("price").unwrap().values;
    assert_eq!([prices.get(0), prices.get(1)], ["1.5", "2"], "the newest that says anything");
    let mut turned = rows;
    turned.reverse();
    assert_eq!(described(&turned), (catalog, histories));
}

#[test]
fn movielens_files_are_read_as_they_are_published() {
    let folder = tempfile::tempdir().unwrap();
    let ratings = write(folder.path(), "ratings.dat", "1::1193::5::978300760\n1::661::3::978302109\n");
    let movies = write(
        folder.path(),
        "movies.dat",
        b"661::James::Animation|Musical\n1193::Am\xe9lie: 1 (2001)::Drama\n",
    );
    let all = PrepareOptions { items: Some(movies), ..options(&[&ratings]) };
    let (catalog, histories) = read(&all, &mut |_| ControlFlow::Continue(())).unwrap();
    assert_eq!(of(&catalog, &histories, "1"), ["1193", "661"]);
    assert_eq!(catalog.title(ItemId(0)), Some("Amélie: 1 (2001)"), "Latin-1, as in ML-1M");
    assert_eq!(catalog.column("genres").unwrap().values.get(1), "Animation|Musical");
    let data = write(folder.path(), "u.data", "196\t242\t3\t881250949\n196\t302\t3\t881250950\n");
    assert_eq!(self::histories(&options(&[&data])).events(), 2);
}

#[test]
fn whoever_listens_may_break_off() {
    let folder = tempfile::tempdir().unwrap();
    let path = write(folder.path(), "e.csv", with_header(',', "\n"));
    let out = folder.path().join("out");
    for stop_at in 0..5 {
        let mut words = 0;
        let outcome = prepare(&options(&[&path]), &out, &mut |_| {
            words += 1;
            if words > stop_at { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        });
        assert!(matches!(outcome, Err(upnext_tables::Error::Interrupted)), "{stop_at}");
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1, "only the log is there");
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
    let counts = [
        ("ml-1m-sasrec", 6_040, 3_416, 999_611),
        ("ml-1m", 6_040, 3_706, 1_000_209),
        ("amazon-beauty", 22_363, 12_101, 198_502),
        ("movietweetings-100k", 16_554, 10_506, 100_000),
        ("ml-100k", 943, 1_682, 100_000),
        ("ml-latest-small", 610, 9_724, 100_836),
        ("online-retail-2010", 4_285, 4_006, 393_636),
        ("complete-journey", 2_391, 2_390, 712_350),
    ];
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
