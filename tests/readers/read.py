"""Reads a file that Weir has written, with readers that share no code with Weir, and prints a JSON
object for each event.

    python read.py FORMAT FILE

FORMAT is text, raw, sequence_file, json, csv, avro, avro_data or parquet. A raw file is read as one event. The lines of a file of
avro_data are Avro data as Base64, whose schema is in the file with the same name and `.avsc`. The ending of the file's name
gives the compression of the complete file. Python's own modules read JSON and CSV, the system's gzip, zstd, bzip2 and lz4
decompress, and fastavro and pyarrow (Arrow's C++ implementation with its snappy) read the other formats.
"""

import base64
import bz2
import csv
import datetime
import decimal
import gzip
import io
import ipaddress
import json
import struct
import subprocess
import sys

import backports.zstd
import fastavro
import pyarrow
import pyarrow.parquet

TOOLS = {".gz": "gzip", ".zst": "zstd", ".bz2": "bzip2", ".lz4": "lz4"}


def crc32c(data):
    value = 0xFFFFFFFF
    for byte in data:
        value ^= byte
        for _ in range(8):
            value = value >> 1 ^ 0x82F63B78 & -(value & 1)
    return value ^ 0xFFFFFFFF


def masked_crc32c(data):
    value = crc32c(data)
    return (value >> 15 | value << 17) + 0xA282EAD8 & 0xFFFFFFFF


def snappy_frames(data):
    """Decodes Snappy's framing format, after the authors' description."""
    plain, at = bytearray(), 0
    while at < len(data):
        kind, length = data[at], int.from_bytes(data[at + 1 : at + 4], "little")
        chunk = data[at + 4 : at + 4 + length]
        at += 4 + length
        if kind == 0xFF:
            assert chunk == b"sNaPpY", "no stream identifier"
            continue
        if kind == 0x00:
            size, shift = 0, 0
            for byte in chunk[4:]:
                size |= (byte & 0x7F) << shift
                shift += 7
                if byte < 0x80:
                    break
            piece = pyarrow.decompress(chunk[4:], decompressed_size=size, codec="snappy", asbytes=True)
        else:
            assert kind == 0x01, f"a chunk of kind {kind}"
            piece = chunk[4:]
        # checks only the first pieces, since the checksum is slow in Python
        if len(plain) < 200_000:
            assert struct.unpack("<I", chunk[:4])[0] == masked_crc32c(piece), "a checksum is wrong"
        plain += piece
    return bytes(plain)


def content(path):
    for ending, tool in TOOLS.items():
        if path.endswith(ending):
            return subprocess.run([tool, "-dc", path], check=True, stdout=subprocess.PIPE).stdout
    with open(path, "rb") as file:
        data = file.read()
    return snappy_frames(data) if path.endswith(".sz") else data


class Hadoop:
    """Reads Hadoop's SequenceFile, after the documentation of org.apache.hadoop.io.SequenceFile."""

    def __init__(self, data):
        self.data, self.at = data, 4
        assert data[:4] == b"SEQ\x06", "no SequenceFile of version 6"
        assert self.text() == "org.apache.hadoop.io.NullWritable"
        assert self.text() == "org.apache.hadoop.io.BytesWritable"
        compressed, blocks = self.take(2)
        assert compressed == blocks
        self.codec = self.text() if compressed else None
        assert self.number() == 0, "there is metadata"
        self.sync = self.take(16)

    def take(self, length):
        self.at += length
        return self.data[self.at - length : self.at]

    def number(self):
        return struct.unpack(">i", self.take(4))[0]

    def vint(self):
        first = struct.unpack("b", self.take(1))[0]
        return first if first >= -112 else int.from_bytes(self.take(-112 - first), "big")

    def text(self):
        return self.take(self.vint()).decode()

    def pieces(self, data, codec):
        plain, at = b"", 0
        while at < len(data):
            size, length = struct.unpack(">ii", data[at : at + 8])
            at += 8 + length
            plain += pyarrow.decompress(data[at - length : at], decompressed_size=size, codec=codec, asbytes=True)
        return plain

    def buffer(self):
        data = self.take(self.vint())
        codec = self.codec.rsplit(".", 1)[1]
        if codec == "SnappyCodec":
            return self.pieces(data, "snappy")
        if codec == "Lz4Codec":
            return self.pieces(data, "lz4_raw")
        module = {"GzipCodec": gzip, "BZip2Codec": bz2, "ZStandardCodec": backports.zstd}[codec]
        return module.decompress(data)

    def values(self):
        while self.at < len(self.data):
            length = self.number()
            if length == -1:
                assert self.take(16) == self.sync, "another mark"
                if self.codec:
                    yield from self.block()
                continue
            assert not self.codec and self.number() == 0, "a key"
            assert self.number() == length - 4
            yield self.take(length - 4)

    def block(self):
        records = self.vint()
        assert self.buffer() == bytes(records), "keys have lengths"
        assert self.buffer() == b"", "keys"
        lengths, place = self.buffer(), 0
        values, at = self.buffer(), 0
        for _ in range(records):
            first = struct.unpack("b", lengths[place : place + 1])[0]
            size = 0 if first >= -112 else -112 - first
            length = first if not size else int.from_bytes(lengths[place + 1 : place + 1 + size], "big")
            place += 1 + size
            assert struct.unpack(">i", values[at : at + 4])[0] == length - 4
            yield values[at + 4 : at + length]
            at += length


def rows(kind, path):
    if kind == "sequence_file":
        with open(path, "rb") as file:
            return [{"body": value} for value in Hadoop(file.read()).values()]
    if kind == "text":
        return [{"body": line} for line in content(path).decode().removesuffix("\n").split("\n")]
    if kind == "raw":
        return [{"body": content(path).decode()}]
    if kind == "json":
        return [json.loads(line) for line in content(path).decode().splitlines()]
    if kind == "csv":
        return list(csv.DictReader(io.StringIO(content(path).decode(), newline="")))
    if kind == "avro":
        with open(path, "rb") as file:
            return list(fastavro.reader(file))
    if kind == "avro_data":
        with open(path + ".avsc") as file:
            schema = fastavro.parse_schema(json.load(file))
        data = [io.BytesIO(base64.b64decode(line)) for line in content(path).splitlines()]
        values = [fastavro.schemaless_reader(datum, schema) for datum in data]
        assert not any(datum.read() for datum in data), "there are bytes after a datum"
        return values
    if kind == "parquet":
        return pyarrow.parquet.read_table(path).to_pylist()
    raise SystemExit(f"no such format: {kind}")


def plain(value):
    """Converts a value to JSON types."""
    if isinstance(value, bytes):
        try:
            return value.decode()
        except UnicodeDecodeError:
            return "base64:" + base64.b64encode(value).decode()
    if isinstance(value, datetime.datetime):
        return value.astimezone(datetime.timezone.utc).isoformat()
    if isinstance(value, (decimal.Decimal, ipaddress.IPv4Address)):
        return str(value)
    if isinstance(value, datetime.timedelta):
        return value / datetime.timedelta(microseconds=1)
    if isinstance(value, dict):
        return {name: plain(item) for name, item in value.items()}
    if isinstance(value, list):
        # pyarrow returns a map as a list of pairs
        if value and all(isinstance(item, tuple) for item in value):
            return {name: plain(item) for name, item in value}
        return [plain(item) for item in value]
    return value


for row in rows(sys.argv[1], sys.argv[2]):
    print(json.dumps(plain(row), ensure_ascii=False))
