# SPDX-License-Identifier: Apache-2.0
"""Recordings to damage: a drive with pictures of noise, written by the reference MCAP writer in chunks of any size."""

import io
from collections import Counter

import numpy as np
from mcap.reader import make_reader
from mcap.records import Channel, Chunk, Message
from mcap.stream_reader import StreamReader, breakup_chunk
from mcap.writer import CompressionType, IndexType, Writer
from rosbags.rosbag2 import StoragePlugin
from rosbags.rosbag2 import Writer as FolderWriter

from geodistill_core.bags import compose
from geodistill_core.bags.topics import IMAGE_RAW
from geodistill_core.bags.writer import typestore
from tests.bags.bag_drives import TOPICS, messages, ns, without

NOISE_TOPICS = {"/camera/image_raw": IMAGE_RAW} | {t: m for t, m in TOPICS.items() if not t.startswith("/camera")}


def noise_drive(seconds=4.0, image_hz=25.0):
    """(topic, message, stamp) of a drive whose pictures do not compress, 24 kB each, sorted by stamp."""
    rng = np.random.default_rng(5)
    entries = without(messages(seconds), "/camera/image/compressed")
    for k in range(int(seconds * image_hz) + 1):
        stamp = ns(k / image_hz)
        picture = rng.integers(0, 255, (64, 128, 3), dtype=np.uint8)
        entries.append(("/camera/image_raw", compose.raw_image(stamp, picture), stamp))
    return sorted(entries, key=lambda entry: entry[2])


def encoded(entries, topics):
    """(topic, CDR bytes, stamp) of each."""
    store = typestore()
    return [(topic, bytes(store.serialize_cdr(message, topics[topic])), stamp) for topic, message, stamp in entries]


def write_mcap(path, content, topics, chunk_bytes, compression=CompressionType.ZSTD, chunked=True, definitions=()):
    """An MCAP file of encoded messages by the reference writer; `definitions` replace those of some types."""
    store = typestore()
    with path.open("wb") as stream:
        writer = Writer(
            stream,
            chunk_size=chunk_bytes,
            compression=compression,
            index_types=IndexType.ALL,
            use_chunking=chunked,
            enable_data_crcs=True,
        )
        writer.start(profile="ros2", library="test")
        channels = {}
        for topic, msgtype in topics.items():
            known = dict(definitions)
            text = known[msgtype] if msgtype in known else store.generate_msgdef(msgtype, ros_version=2)[0]
            schema = writer.register_schema(msgtype, "ros2msg", text.encode())
            channels[topic] = writer.register_channel(topic, "cdr", schema)
        for number, (topic, cdr, stamp) in enumerate(content):
            writer.add_message(channels[topic], stamp, cdr, stamp, number)
        writer.finish()
    return path


def write_sqlite(folder, content, topics):
    """A rosbag2 folder with an SQLite file, by rosbags; returns the file."""
    with FolderWriter(folder, version=9, storage_plugin=StoragePlugin.SQLITE3) as writer:
        connections = {t: writer.add_connection(t, msgtype, typestore=typestore()) for t, msgtype in topics.items()}
        for topic, cdr, stamp in content:
            writer.write(connections[topic], stamp, cdr)
    return folder / f"{folder.name}.db3"


def record_by_record(data):
    """Messages by topic that mcap's own record-by-record reader finds before it gives up."""
    channels, counts = {}, Counter()
    try:
        for record in StreamReader(io.BytesIO(data), validate_crcs=True).records:
            if isinstance(record, Channel):
                channels[record.id] = record.topic
            elif isinstance(record, Message):
                counts[channels[record.channel_id]] += 1
    except Exception:  # where it gives up is the point
        pass
    return counts


def chunk_spans(path):
    """First byte, last byte of each chunk by the file's own index."""
    with path.open("rb") as stream:
        summary = make_reader(stream).get_summary()
    return [(c.chunk_start_offset, c.chunk_start_offset + c.chunk_length) for c in summary.chunk_indexes]


def chunk_counts(path):
    """Messages in each chunk, by the reference reader."""
    with path.open("rb") as stream:
        chunks = [r for r in StreamReader(stream, emit_chunks=True).records if isinstance(r, Chunk)]
    return [sum(isinstance(record, Message) for record in breakup_chunk(chunk)) for chunk in chunks]


def flipped(data, at, count=8):
    """The bytes with some of them inverted."""
    return data[:at] + bytes(value ^ 0xFF for value in data[at : at + count]) + data[at + count :]


def kept(source):
    """(topic, CDR bytes, recording time) of all messages of a source."""
    return [(message.topic, message.cdr, message.log_ns) for message in source.messages(list(source.topics))]
