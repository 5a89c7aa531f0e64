import java.io.FileNotFoundException;
import java.io.IOException;
import java.io.InputStream;
import java.net.URI;
import java.nio.file.Files;
import java.util.ArrayList;
import java.util.Comparator;
import java.util.EnumSet;
import java.util.List;
import org.apache.hadoop.conf.Configuration;
import org.apache.hadoop.fs.FSDataOutputStream;
import org.apache.hadoop.fs.FileStatus;
import org.apache.hadoop.fs.LocatedFileStatus;
import org.apache.hadoop.fs.Path;
import org.apache.hadoop.fs.RemoteIterator;
import org.apache.hadoop.fs.permission.FsPermission;
import org.apache.hadoop.hdfs.DistributedFileSystem;
import org.apache.hadoop.hdfs.client.HdfsDataOutputStream;
import org.apache.hadoop.hdfs.protocol.HdfsConstants;
import org.apache.hadoop.security.UserGroupInformation;

/** Hadoop's own HDFS client: the reference for transfer rates, and an independent reader of files that Weir wrote. */
public class Dfs {
  private static final int LIST_ATTEMPTS_MAX = 100;

  private final DistributedFileSystem fs = new DistributedFileSystem();

  public static void main(String[] args) throws Exception {
    Dfs dfs = new Dfs();
    Configuration conf = new Configuration();
    UserGroupInformation.setConfiguration(conf);
    if (UserGroupInformation.isSecurityEnabled()) {
      UserGroupInformation.loginUserFromKeytab(
          conf.get("dfs.namenode.kerberos.principal"), conf.get("dfs.namenode.keytab.file"));
    }
    dfs.fs.initialize(URI.create(conf.get("fs.defaultFS")), conf);
    dfs.run(args[0], new Path(args[1]), args);
    dfs.fs.close();
  }

  private void run(String verb, Path path, String[] args) throws IOException {
    switch (verb) {
      case "write":
        write(path, Long.parseLong(args[2]) << 20, args.length > 3 ? Integer.parseInt(args[3]) : 1 << 20,
            args.length > 4 ? Long.parseLong(args[4]) << 20 : 0);
        break;
      case "read":
        read(path);
        break;
      case "stat":
        System.out.println(line(fs.getFileStatus(path)));
        break;
      case "list":
        for (String line : list(path)) System.out.println(line);
        break;
      case "get":
        get(path, java.nio.file.Path.of(args[2]));
        break;
      case "put":
        try (FSDataOutputStream out = fs.create(path, false)) {
          Files.copy(java.nio.file.Path.of(args[2]), out);
        }
        break;
      case "append":
        try (FSDataOutputStream out = fs.append(path)) {
          Files.copy(java.nio.file.Path.of(args[2]), out);
        }
        break;
      case "hold":
        hold(path, java.nio.file.Path.of(args[2]));
        break;
      case "mkdir":
        fs.mkdirs(path);
        fs.setPermission(path, new FsPermission(args[3]));
        fs.setOwner(path, args[2], null);
        break;
      case "quota":
        fs.setQuota(path, Long.parseLong(args[2]), HdfsConstants.QUOTA_DONT_SET);
        break;
      case "delete":
        fs.delete(path, true);
        break;
      case "recover":
        System.out.println("recovered " + fs.recoverLease(path));
        break;
      case "truncate":
        System.out.println("truncated " + fs.truncate(path, Long.parseLong(args[2])));
        break;
      default:
        throw new IllegalArgumentException("no such verb: " + verb);
    }
  }

  /** Writes the same pseudo-random bytes every time, in pieces of {@code chunk}; hsync after each {@code every} bytes. */
  private void write(Path path, long size, int chunk, long every) throws IOException {
    byte[] data = new byte[64 << 20];
    long x = 88172645463325252L;
    for (int i = 0; i < data.length; i += 8) {
      x ^= x << 13;
      x ^= x >>> 7;
      x ^= x << 17;
      for (int k = 0; k < 8; k++) data[i + k] = (byte) (x >>> (8 * k));
    }
    long left = size;
    long unsynced = 0;
    long start = System.nanoTime();
    int offset = 0;
    int syncs = 0;
    try (FSDataOutputStream out = fs.create(path, true)) {
      while (left > 0) {
        int n = (int) Math.min(Math.min(chunk, left), data.length - offset);
        out.write(data, offset, n);
        left -= n;
        unsynced += n;
        offset = (offset + n) % data.length;
        if (every > 0 && unsynced >= every) {
          out.hsync();
          unsynced = 0;
          syncs++;
        }
      }
    }
    double s = (System.nanoTime() - start) / 1e9;
    System.out.printf("written bytes=%d chunk=%d syncs=%d s=%.2f MB/s=%.1f%n", size, chunk, syncs, s, size / s / 1e6);
  }

  /** Writes a local file and syncs it, and closes {@code path} when the standard input ends. */
  private void hold(Path path, java.nio.file.Path local) throws IOException {
    try (FSDataOutputStream out = fs.create(path, false)) {
      Files.copy(local, out);
      ((HdfsDataOutputStream) out).hsync(EnumSet.of(HdfsDataOutputStream.SyncFlag.UPDATE_LENGTH));
      System.out.println("synced");
      while (System.in.read() >= 0) {}
    }
  }

  private void read(Path path) throws IOException {
    byte[] buffer = new byte[1 << 20];
    long bytes = 0;
    long start = System.nanoTime();
    try (InputStream in = fs.open(path)) {
      for (int n; (n = in.read(buffer)) > 0; ) bytes += n;
    }
    double s = (System.nanoTime() - start) / 1e9;
    System.out.printf("read bytes=%d s=%.2f MB/s=%.1f%n", bytes, s, bytes / s / 1e6);
  }

  /** Returns a line for each file below {@code path}; starts over when a file is renamed or deleted meanwhile. */
  private List<String> list(Path path) throws IOException {
    for (int attempt = 1; ; attempt++) {
      try {
        List<String> lines = new ArrayList<>();
        for (FileStatus file : files(path)) lines.add(line(file));
        return lines;
      } catch (FileNotFoundException gone) {
        if (attempt == LIST_ATTEMPTS_MAX) throw gone;
      }
    }
  }

  /** Copies every closed file below {@code path} into {@code folder}, under the same relative names. */
  private void get(Path path, java.nio.file.Path folder) throws IOException {
    Files.createDirectories(folder);
    String root = fs.makeQualified(path).toUri().getPath();
    for (FileStatus file : files(path)) {
      if (fs.isFileClosed(file.getPath())) {
        String name = file.getPath().toUri().getPath().substring(root.length());
        java.nio.file.Path local = folder.resolve(name.replaceFirst("^/+", ""));
        Files.createDirectories(local.getParent());
        try (InputStream in = fs.open(file.getPath())) {
          Files.copy(in, local);
        }
      }
      System.out.println(line(file));
    }
  }

  /** Returns all files below {@code path}, sorted by name; an empty list if the path does not exist. */
  private List<FileStatus> files(Path path) throws IOException {
    List<FileStatus> files = new ArrayList<>();
    if (!fs.exists(path)) return files;
    for (RemoteIterator<LocatedFileStatus> all = fs.listFiles(path, true); all.hasNext(); ) files.add(all.next());
    files.sort(Comparator.comparing(FileStatus::getPath));
    return files;
  }

  /** Returns {@code PATH LENGTH closed|open}; the namenode's length of an open file may be outdated. */
  private String line(FileStatus file) throws IOException {
    String path = file.getPath().toUri().getPath();
    return path + " " + file.getLen() + " " + (fs.isFileClosed(file.getPath()) ? "closed" : "open");
  }
}
