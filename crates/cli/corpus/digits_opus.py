"""Ogg Opus files as small as can be: the encoder's packets, repacked into few pages."""

import io
import struct
import subprocess

import numpy as np
import soundfile

from digits_base import RATE

BITRATE = "11.5"  # kbit/s asked of the encoder; the rate varies with the sound


def ogg_checksum_table():
    table = []
    for value in range(256):
        remainder = value << 24
        for _ in range(8):
            remainder = (remainder << 1) ^ 0x04C11DB7 if remainder & 0x80000000 else remainder << 1
        table.append(remainder & 0xFFFFFFFF)
    return table


OGG_TABLE = ogg_checksum_table()


def ogg_page(flags, granule, serial, sequence, packets):
    lacing = b"".join(b"\xff" * (len(p) // 255) + bytes([len(p) % 255]) for p in packets)
    assert len(lacing) <= 255
    page = bytearray(struct.pack("<4sBBqIIIB", b"OggS", 0, flags, granule, serial, sequence, 0,
                                 len(lacing)) + lacing + b"".join(packets))
    checksum = 0
    for byte in page:
        checksum = ((checksum << 8) & 0xFFFFFFFF) ^ OGG_TABLE[(checksum >> 24) ^ byte]
    page[22:26] = struct.pack("<I", checksum)
    return bytes(page)


def ogg_packets(data):
    packets, part, granule, at = [], b"", 0, 0
    while at < len(data):
        granule, count = struct.unpack_from("<q", data, at + 6)[0], data[at + 26]
        lacing = data[at + 27 : at + 27 + count]
        at += 27 + count
        for size in lacing:
            part += data[at : at + size]
            at += size
            if size < 255:
                packets.append(part)
                part = b""
    return packets, granule


def encode(samples, serial):
    """Opus in Ogg: the encoder's packets, in as few pages as can be, with an empty comment header."""
    wav = io.BytesIO()
    soundfile.write(wav, np.clip(samples, -1, 1), RATE, format="WAV", subtype="PCM_16")
    made = subprocess.run(
        ["opusenc", "--quiet", "--speech", "--vbr", "--bitrate", BITRATE, "--framesize", "60",
         "--comp", "10", "--padding", "0", "--serial", str(serial), "-", "-"],
        input=wav.getvalue(), capture_output=True, check=True).stdout
    packets, granule = ogg_packets(made)
    head, sound = packets[0], packets[2:]
    frame = 48 * 60  # every packet holds 60 ms
    pages = [ogg_page(2, 0, serial, 0, [head]),
             ogg_page(0, 0, serial, 1, [b"OpusTags" + struct.pack("<II", 0, 0)])]
    for start in range(0, len(sound), 240):
        packets = sound[start : start + 240]
        last = start + 240 >= len(sound)
        pages.append(ogg_page(4 if last else 0, granule if last else frame * (start + 240), serial,
                              len(pages), packets))
    skip = struct.unpack_from("<H", head, 10)[0]
    return b"".join(pages), (granule - skip) / 48000
