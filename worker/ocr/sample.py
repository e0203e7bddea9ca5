"""A picture of an invoice in German and English that Helmsight ships, and the text that is on it.

``scripts/make-sample-image`` draws it from :data:`SAMPLE_LINES`; it is ours, and no real invoice.
"""

from pathlib import Path

SAMPLE_LINES: tuple[tuple[str, ...], ...] = (
    ("Müller & Söhne GmbH",),
    ("Werkzeuge und Maschinen, Gärtnerstraße 17, 80992 München",),
    (),
    ("Rechnung Nr. 2026-0417", "Datum: 12.10.2026"),
    ("Kundennummer: 58213", "Lieferdatum: 09.10.2026"),
    (),
    ("An: Brückner Präzisionsteile AG, Königsallee 5, 40212 Düsseldorf",),
    (),
    ("Sehr geehrte Frau Schäfer,",),
    ("für unsere Lieferung erlauben wir uns, folgende Beträge zu berechnen:",),
    (),
    ("Pos. Bezeichnung", "Menge", "Einzelpreis", "Betrag"),
    ("1 Fräser, gehärtet, Größe 12", "4", "39,90", "159,60"),
    ("2 Kühlmittel für Drehbänke", "6", "18,50", "111,00"),
    ("3 Schlüsselsatz, übergroß", "2", "74,25", "148,50"),
    ("4 Wartung vor Ort (Stunden)", "3", "95,00", "285,00"),
    (),
    ("", "", "Zwischensumme", "704,10"),
    ("", "", "Umsatzsteuer 19 %", "133,78"),
    ("", "", "Gesamtbetrag EUR", "837,88"),
    (),
    ("Bitte überweisen Sie den Betrag innerhalb von 14 Tagen ohne Abzug.",),
    ("IBAN: DE02 1203 0000 0000 2020 51",),
    (),
    ("Notes for our partners abroad:",),
    ("Please quote the invoice number with your payment. Goods remain our property",),
    ("until they are paid in full. Questions? Write to invoices@example.com and we",),
    ("will answer within two working days. Thank you for your business!",),
)

SAMPLE_TEXT = "\n".join(" ".join(part for part in line if part) for line in SAMPLE_LINES)
"""What is on the picture, line by line."""

SAMPLE_NAME = "sample-invoice.png"


def sample_image_path() -> Path:
    """Return where the picture is."""
    return Path(__file__).parent / "data" / SAMPLE_NAME
