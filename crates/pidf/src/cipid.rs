//! Contact information (RFC 4482). Its URIs are never fetched here.

use strict_xml::{Element, SharedStr};

use crate::extension::Extension;
use crate::model::Note;
use crate::namespace::CIPID;

/// What the CIPID elements of one tuple or person say; of a repeated element the first counts.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ContactInformation {
    /// URI of a card, such as vCard.
    pub card: Option<SharedStr>,
    /// Names to show, one for each language.
    pub display_names: Vec<Note>,
    /// URI of general information.
    pub homepage: Option<SharedStr>,
    /// URI of an image.
    pub icon: Option<SharedStr>,
    /// URI of a map.
    pub map: Option<SharedStr>,
    /// URI of a sound.
    pub sound: Option<SharedStr>,
}

impl ContactInformation {
    /// Reads the CIPID elements among extensions.
    pub fn of(extensions: &[Extension]) -> Self {
        let mut found = Self::default();
        for element in extensions.iter().map(Extension::element).filter(|element| element.ns == CIPID) {
            match element.name.as_str() {
                "card" => set(&mut found.card, element),
                "homepage" => set(&mut found.homepage, element),
                "icon" => set(&mut found.icon, element),
                "map" => set(&mut found.map, element),
                "sound" => set(&mut found.sound, element),
                "display-name" => {
                    let lang = element.xml_lang().map(SharedStr::copy);
                    if !found.display_names.iter().any(|name| name.lang == lang) {
                        found.display_names.push(Note::new(lang, element.text().into_owned()));
                    }
                }
                _ => {}
            }
        }
        found
    }

    /// The elements to send.
    pub fn to_elements(&self) -> Vec<Extension> {
        let uris = [("card", &self.card), ("homepage", &self.homepage), ("icon", &self.icon), ("map", &self.map)];
        let uris = uris.into_iter().chain([("sound", &self.sound)]);
        let uris = uris.filter_map(|(name, uri)| Some(Element::new(name, CIPID).with_text(uri.clone()?)));
        let names = self.display_names.iter().map(|name| {
            let mut element = Element::new("display-name", CIPID).with_text(name.text.clone());
            if let Some(lang) = &name.lang {
                element.set_xml_lang(lang.clone());
            }
            element
        });
        uris.chain(names).map(Extension::new).collect()
    }
}

fn set(slot: &mut Option<SharedStr>, element: &Element) {
    slot.get_or_insert_with(|| SharedStr::copy(element.text().trim()));
}

#[cfg(test)]
mod tests {
    use super::*;

    // checks: PX-20
    #[test]
    fn rfc4482_s3_each_once_and_a_name_for_each_language() {
        let text = format!(
            "<p xmlns='{CIPID}'><card> http://x.example/c </card><card>second</card><display-name>A</display-name>\
             <display-name xml:lang='de'>B</display-name><display-name>C</display-name><x/></p>"
        );
        let root = strict_xml::parse_document(text.as_bytes(), &crate::limits::xml()).unwrap();
        let elements: Vec<Extension> = root.elements().cloned().map(Extension::new).collect();
        let found = ContactInformation::of(&elements);
        assert_eq!(found.card.as_deref(), Some("http://x.example/c"));
        assert_eq!(found.display_names, [Note::new(None, "A"), Note::new(Some("de".into()), "B")]);
        assert_eq!(ContactInformation::of(&found.to_elements()), found);
    }
}
