//! The text of an HTML document, for those who can't be shown HTML.

/// What a reader would see as plain text: no tags, no scripts, entities resolved, white space as HTML treats it.
pub fn to_text(html: &str) -> String {
    let mut reader = Reader { out: String::with_capacity(html.len()), space: false };
    let mut rest = html;
    while let Some((text, tag)) = rest.split_once('<') {
        reader.text(text);
        rest = reader.tag(tag);
    }
    reader.text(rest);
    reader.out.trim().to_owned()
}

struct Reader {
    out: String,
    space: bool, // white space is due before the next character
}

/// Elements whose content is not text.
const HIDDEN: [&str; 5] = ["script", "style", "head", "template", "title"];

/// Elements that begin and end on lines of their own.
const BLOCKS: [&str; 18] = [
    "p",
    "div",
    "ul",
    "ol",
    "li",
    "table",
    "tr",
    "blockquote",
    "pre",
    "h1",
    "h2",
    "h3",
    "h4",
    "h5",
    "h6",
    "hr",
    "section",
    "article",
];

impl Reader {
    fn text(&mut self, text: &str) {
        let mut rest = text;
        while let Some(character) = rest.chars().next() {
            if character == '&'
                && let Some((resolved, behind)) = entity(rest)
            {
                self.push(resolved);
                rest = behind;
                continue;
            }
            if character.is_ascii_whitespace() {
                self.space = true
            } else {
                self.push(character)
            }
            rest = rest.get(character.len_utf8()..).unwrap_or_default();
        }
    }

    fn push(&mut self, character: char) {
        if self.space && !self.out.is_empty() && !self.out.ends_with('\n') {
            self.out.push(' ');
        }
        self.space = false;
        self.out.push(character);
    }

    /// Reads the tag that follows a `<`; gives what stands behind it.
    fn tag<'a>(&mut self, tag: &'a str) -> &'a str {
        if let Some(comment) = tag.strip_prefix("!--") {
            return comment.split_once("-->").map_or("", |(_, rest)| rest);
        }
        let closing = tag.starts_with('/');
        let name = tag.strip_prefix('/').unwrap_or(tag);
        if !name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '!' || c == '?') {
            // Not a tag: a bare `<` in careless HTML.
            self.push('<');
            return tag;
        }
        let end = name.find(|c: char| !c.is_ascii_alphanumeric() && c != '!' && c != '?').unwrap_or(name.len());
        let (name, rest) = name.split_at(end);
        let name = name.to_ascii_lowercase();
        let rest = behind_tag(rest);
        if name == "br" || BLOCKS.contains(&name.as_str()) {
            self.line();
        }
        if !closing && HIDDEN.contains(&name.as_str()) { behind_element(rest, &name) } else { rest }
    }

    fn line(&mut self) {
        self.space = false;
        if !self.out.is_empty() && !self.out.ends_with('\n') {
            self.out.push('\n');
        }
    }
}

/// What stands behind the `>` of a tag, which may hold a `>` in quotes.
fn behind_tag(attributes: &str) -> &str {
    let mut quote = None;
    for (at, character) in attributes.char_indices() {
        match (quote, character) {
            (None, '>') => return attributes.get(at + 1..).unwrap_or_default(),
            (None, '"' | '\'') => quote = Some(character),
            (Some(open), _) if open == character => quote = None,
            _ => {}
        }
    }
    ""
}

/// What stands behind the end tag of a hidden element.
fn behind_element<'a>(text: &'a str, name: &str) -> &'a str {
    let mut rest = text;
    while let Some((_, tag)) = rest.split_once("</") {
        if tag.get(..name.len()).is_some_and(|found| found.eq_ignore_ascii_case(name)) {
            return tag.split_once('>').map_or("", |(_, rest)| rest);
        }
        rest = tag;
    }
    ""
}

/// Octets between `&` and `;`: the longest entity known here is a number.
const MAX_ENTITY: usize = 10;

/// The character of the entity at the front, and what follows.
fn entity(text: &str) -> Option<(char, &str)> {
    let text = text.strip_prefix('&')?;
    let end = text.bytes().take(MAX_ENTITY + 1).position(|octet| octet == b';')?;
    let (name, rest) = text.split_at_checked(end)?;
    let rest = rest.strip_prefix(';')?;
    let number = |digits: &str, radix| u32::from_str_radix(digits, radix).ok().and_then(char::from_u32);
    let character = match name {
        "amp" => '&',
        "lt" => '<',
        "gt" => '>',
        "quot" => '"',
        "apos" => '\'',
        "nbsp" => '\u{a0}',
        _ => match name.strip_prefix('#')? {
            hex if hex.starts_with(['x', 'X']) => number(hex.get(1..)?, 16)?,
            decimal => number(decimal, 10)?,
        },
    };
    Some((character, rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    // checks: IM-041, CMP-040
    #[test]
    fn tags_scripts_and_comments_are_left_out() {
        assert_eq!(to_text("<p>Hi <b>Juliet</b><script>alert('</p>')</script></p>"), "Hi Juliet");
        assert_eq!(to_text("<html><head><title>x</title></head><body>a<!-- <b> -->b</body></html>"), "ab");
        assert_eq!(to_text("<a title='x > y'>link</a><style>b{}"), "link");
    }

    #[test]
    fn blocks_break_lines_and_white_space_collapses() {
        assert_eq!(to_text("one<br/>two<div>three\n  four</div>five"), "one\ntwo\nthree four\nfive");
        assert_eq!(to_text("<ul><li>a</li><li>b</li></ul>"), "a\nb");
    }

    #[test]
    fn entities_are_resolved_once() {
        assert_eq!(to_text("&lt;b&gt; &amp;amp; &#x41;&#66; &nope; & <3"), "<b> &amp; AB &nope; & <3");
    }
}
