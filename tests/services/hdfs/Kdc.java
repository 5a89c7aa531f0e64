import java.io.File;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import org.apache.kerby.kerberos.kerb.crypto.EncryptionHandler;
import org.apache.kerby.kerberos.kerb.keytab.Keytab;
import org.apache.kerby.kerberos.kerb.keytab.KeytabEntry;
import org.apache.kerby.kerberos.kerb.server.KdcConfigKey;
import org.apache.kerby.kerberos.kerb.server.SimpleKdcServer;
import org.apache.kerby.kerberos.kerb.type.KerberosTime;
import org.apache.kerby.kerberos.kerb.type.base.EncryptionType;
import org.apache.kerby.kerberos.kerb.type.base.PrincipalName;

/**
 * A Kerberos server (Apache Kerby, which Hadoop's MiniKdc is made of) and the keytabs of its principals. Keys follow from
 * the principals' names, so that keytabs and tickets remain valid when the server is started again.
 */
public class Kdc {
  private static final List<String> PRINCIPALS = List.of("hdfs/localhost", "kafka/localhost", "weir", "guest");
  private static final EncryptionType TYPE = EncryptionType.AES128_CTS_HMAC_SHA1_96;

  /** Arguments: the folder, the port, the realm, and how many seconds tickets are valid at most. */
  public static void main(String[] args) throws Exception {
    File folder = new File(args[0]);
    String realm = args[2];
    File work = new File(folder, "data/kdc");
    work.mkdirs();
    SimpleKdcServer kdc = new SimpleKdcServer();
    kdc.setWorkDir(work);
    kdc.setKdcHost("127.0.0.1");
    kdc.setKdcRealm(realm);
    kdc.setAllowUdp(false);
    kdc.setAllowTcp(true);
    kdc.setKdcTcpPort(Integer.parseInt(args[1]));
    kdc.getKdcConfig().setLong(KdcConfigKey.MAXIMUM_TICKET_LIFETIME, Long.parseLong(args[3]));
    kdc.getKdcConfig().setLong(KdcConfigKey.MINIMUM_TICKET_LIFETIME, 1L);
    kdc.getKdcConfig().setString(KdcConfigKey.ENCRYPTION_TYPES, TYPE.getName());
    kdc.init();
    Path keytabs = folder.toPath().resolve("keytabs");
    Files.createDirectories(keytabs);
    for (String name : PRINCIPALS) {
      String principal = name + "@" + realm;
      kdc.createPrincipal(principal, "key of " + principal);
      keytab(keytabs.resolve(name.split("/")[0] + ".keytab"), principal, "key of " + principal);
    }
    keytab(keytabs.resolve("wrong.keytab"), "weir@" + realm, "another key");
    keytab(keytabs.resolve("stranger.keytab"), "stranger@" + realm, "any key");
    kdc.start();
    System.out.println("ready");
  }

  private static void keytab(Path path, String principal, String password) throws Exception {
    Keytab keytab = new Keytab();
    PrincipalName name = new PrincipalName(principal);
    keytab.addEntry(new KeytabEntry(name, new KerberosTime(), 1, EncryptionHandler.string2Key(principal, password, TYPE)));
    keytab.store(path.toFile());
  }
}
