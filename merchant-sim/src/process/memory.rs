//! Reading the memory of a process of our own (Linux, proc(5)).

use std::fs::{self, File};
use std::os::unix::fs::FileExt as _;
use std::path::Path;

use anyhow::{Context as _, Result, ensure};

/// How much is read at a time.
const CHUNK: usize = 1024 * 1024;

/// A range of a process's memory.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Region {
    start: u64,
    end: u64,
    /// Whether the process can read it.
    readable: bool,
    /// Whether it holds nothing but what a file on the disk holds: mapped from one, and never writable.
    is_of_file: bool,
}

/// Hands out what a process has in its memory, piece by piece, each beginning with the last `overlap` bytes
/// of the one before where the two adjoin. Left out is what is mapped from a file and can't be written:
/// the program and its libraries, which are the same for whoever starts them.
///
/// # Errors
/// The process is gone, or belongs to somebody else, or this isn't Linux.
pub fn read(id: u32, overlap: usize, mut piece: impl FnMut(&[u8])) -> Result<()> {
    let folder = Path::new("/proc").join(id.to_string());
    let maps = fs::read_to_string(folder.join("maps")).with_context(|| format!("cannot read the maps of {id}"))?;
    let memory = File::open(folder.join("mem")).with_context(|| format!("cannot read the memory of {id}"))?;
    let mut read = 0;
    for region in maps.lines().filter_map(parse).filter(|region| region.readable && !region.is_of_file) {
        let mut buffer: Vec<u8> = Vec::with_capacity(CHUNK + overlap);
        let mut at = region.start;
        while at < region.end {
            let kept = buffer.len().min(overlap);
            buffer.drain(..buffer.len() - kept);
            let wanted = usize::try_from(region.end - at).unwrap_or(CHUNK).min(CHUNK);
            buffer.resize(kept + wanted, 0);
            // A process that runs gives ranges back between the list and the reading.
            let Ok(got @ 1..) = memory.read_at(&mut buffer[kept..], at) else { break };
            buffer.truncate(kept + got);
            piece(&buffer);
            read += got;
            at += got as u64;
        }
    }
    ensure!(read > 0, "nothing of the memory of {id} could be read");
    Ok(())
}

/// One line of `maps`: the range, what may be done with it, and what it is mapped from.
fn parse(line: &str) -> Option<Region> {
    let mut words = line.split_ascii_whitespace();
    let (start, end) = words.next()?.split_once('-')?;
    let rights = words.next()?;
    let origin = words.nth(3).unwrap_or_default();
    // The kernel's own pages can't be read like this.
    let is_kernels = matches!(origin, "[vvar]" | "[vvar_vclock]" | "[vsyscall]" | "[vdso]");
    Some(Region {
        start: u64::from_str_radix(start, 16).ok()?,
        end: u64::from_str_radix(end, 16).ok()?,
        readable: rights.starts_with('r') && !is_kernels,
        is_of_file: origin.starts_with('/') && !rights.contains('w'),
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn the_program_is_told_from_its_data() {
        let code = parse("55a0-55b0 r-xp 00001000 fe:01 123 /usr/bin/server").unwrap();
        assert!(code.readable && code.is_of_file);
        assert_eq!((code.start, code.end), (0x55a0, 0x55b0));
        let heap = parse("7f00-7f10 rw-p 00000000 00:00 0 [heap]").unwrap();
        assert!(heap.readable && !heap.is_of_file);
        let unnamed = parse("7f20-7f30 rw-p 00000000 00:00 0").unwrap();
        assert!(unnamed.readable && !unnamed.is_of_file);
        assert!(!parse("7f30-7f40 ---p 00000000 00:00 0").unwrap().readable);
        assert!(!parse("7f40-7f50 r--p 00000000 00:00 0 [vvar]").unwrap().readable);
        assert_eq!(parse("nonsense"), None);
    }

    #[test]
    fn this_process_holds_what_it_holds() {
        let secret = format!("held-{}", std::process::id());
        let mut found = false;
        read(std::process::id(), secret.len(), |piece| {
            found |= piece.windows(secret.len()).any(|window| window == secret.as_bytes());
        })
        .unwrap();
        assert!(found);
    }
}
