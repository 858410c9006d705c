//! The files of `src` import one another one way: no circle.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::Path,
};

/// The files that a file names by `crate::`.
fn imports(source: &str) -> BTreeSet<String> {
    let code: String =
        source.lines().filter(|l| !l.trim_start().starts_with("//")).collect::<Vec<_>>().join("\n");
    let name = |s: &str| s.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect::<String>();
    let mut found = BTreeSet::new();
    for (at, _) in code.match_indices("crate::") {
        let rest = &code[at + "crate::".len()..];
        let Some(list) = rest.strip_prefix('{') else {
            found.insert(name(rest));
            continue;
        };
        // The names on the first level of the braces.
        let (mut depth, mut fresh) = (1, true);
        for (i, c) in list.char_indices() {
            match c {
                '{' => depth += 1,
                '}' => depth -= 1,
                ',' => fresh = depth == 1,
                c if fresh && c.is_alphabetic() => {
                    found.insert(name(&list[i..]));
                    fresh = false;
                }
                _ => {}
            }
            if depth == 0 {
                break;
            }
        }
    }
    found
}

#[test]
fn imports_run_one_way() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut graph = BTreeMap::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let file = path.file_stem().unwrap().to_string_lossy().into_owned();
        graph.insert(file, imports(&fs::read_to_string(&path).unwrap()));
    }
    assert!(graph["call"].contains("fork") && graph["plan"].contains("lease") && graph.len() > 15);
    // Files that import only what has been taken away are taken away, until none is left.
    let mut left: BTreeSet<_> = graph.keys().cloned().collect();
    loop {
        let free = |file: &&String| graph[*file].iter().all(|other| !left.contains(other));
        let gone: Vec<_> = left.iter().filter(free).cloned().collect();
        if gone.is_empty() {
            break;
        }
        gone.iter().for_each(|file| _ = left.remove(file));
    }
    assert!(left.is_empty(), "in a circle, or above one: {left:?}");
}

#[test]
fn imports_are_found() {
    let found = imports("use crate::{a::{b, c}, d,\n    e::f};\n// use crate::no;\nlet x = crate::g::h();");
    assert_eq!(found.into_iter().collect::<Vec<_>>(), ["a", "d", "e", "g"]);
}
