//! Every link and picture of the built pages that leads within the repository must lead to something.
//!
//! What begins with `https:` is not asked: the build needs no network.

use anyhow::{Context, Result};
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Component, Path, PathBuf};

/// One sentence per link that leads nowhere, or that would ask a network to show the page.
pub fn broken(pages: &Path) -> Result<Vec<String>> {
    let pages = pages.canonicalize().with_context(|| format!("{} is missing", pages.display()))?;
    let mut anchors: BTreeMap<PathBuf, BTreeSet<String>> = BTreeMap::new();
    let mut texts = Vec::new();
    for page in html_files(&pages)? {
        let text = fs::read_to_string(&page)?;
        anchors.insert(page.clone(), attributes(&text, "id").into_iter().collect());
        texts.push((page, text));
    }
    let mut broken = Vec::new();
    for (page, text) in &texts {
        let shown = page.strip_prefix(&pages).unwrap_or(page).display();
        for source in attributes(text, "src") {
            if source.contains("://") {
                broken.push(format!("{shown}: {source} would be asked from a network"));
            }
        }
        for link in attributes(text, "href").into_iter().chain(attributes(text, "src")) {
            if link.contains(':') || link.is_empty() {
                continue;
            }
            let (file, anchor) = link.split_once('#').unwrap_or((&link, ""));
            let target = if file.is_empty() { page.clone() } else { resolve(page, file) };
            if !target.exists() {
                broken.push(format!("{shown}: {link} leads to no file"));
            } else if !anchor.is_empty()
                && anchors.get(&target).is_some_and(|known| !known.contains(anchor))
            {
                broken.push(format!("{shown}: {link} leads to no heading of that page"));
            }
        }
    }
    Ok(broken)
}

fn html_files(folder: &Path) -> Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() {
            files.extend(html_files(&path)?);
        } else if path.extension().is_some_and(|end| end == "html") {
            files.push(path);
        }
    }
    files.sort();
    Ok(files)
}

/// The values of an attribute, in double quotes as mdBook writes them.
fn attributes(html: &str, name: &str) -> Vec<String> {
    let start = format!(" {name}=\"");
    html.split(&start)
        .skip(1)
        .filter_map(|rest| rest.split('"').next())
        .map(|value| value.replace("&amp;", "&").replace("%6d", "m"))
        .collect()
}

/// The file that `link` means on `page`.
fn resolve(page: &Path, link: &str) -> PathBuf {
    let mut target = page.parent().unwrap_or(page).to_path_buf();
    for part in Path::new(link).components() {
        match part {
            Component::ParentDir => {
                target.pop();
            }
            Component::Normal(name) => target.push(name),
            _ => {}
        }
    }
    target
}
