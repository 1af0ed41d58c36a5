import java.io.IOException;
import java.io.InputStream;
import java.nio.file.Files;
import java.nio.file.Path;
import java.security.KeyFactory;
import java.security.KeyStore;
import java.security.PrivateKey;
import java.security.cert.Certificate;
import java.security.cert.CertificateFactory;
import java.security.spec.PKCS8EncodedKeySpec;
import java.util.Base64;
import java.util.List;
import javax.net.ssl.KeyManagerFactory;
import javax.net.ssl.SNIHostName;
import javax.net.ssl.SSLContext;
import javax.net.ssl.SSLParameters;
import javax.net.ssl.SSLServerSocket;
import javax.net.ssl.SSLSocket;
import javax.net.ssl.TrustManagerFactory;

/**
 * One conversation over TLS, as every peer here has it: {@code Peer client|server asks|answers PORT
 * FOLDER}.
 *
 * <p>Who asks sends a question, ends its half and reads the answer. Who answers reads the question
 * to its end and answers a little later. Both print how many bytes they have read, and how that
 * ended. FOLDER has ca.pem, certificate.pem and key.pem.
 */
public class Peer {
    private static final int LATE = 200;
    private static final int SIZE = 200_000;

    public static void main(String[] arguments) throws Exception {
        boolean client = arguments[0].equals("client");
        boolean asks = arguments[1].equals("asks");
        int port = Integer.parseInt(arguments[2]);
        SSLContext context = context(Path.of(arguments[3]));
        try (SSLSocket socket = client ? dial(context, port) : accept(context, port)) {
            if (asks) {
                socket.getOutputStream().write("question\n".getBytes());
                socket.shutdownOutput();
            }
            System.out.println(read(socket.getInputStream()));
            if (!asks) {
                Thread.sleep(LATE);
                socket.getOutputStream().write(new byte[SIZE]);
                socket.shutdownOutput();
            }
        }
    }

    private static String read(InputStream input) {
        int count = 0;
        byte[] buffer = new byte[65536];
        try {
            for (int size; (size = input.read(buffer)) >= 0; ) {
                count += size;
            }
        } catch (IOException error) {
            return count + " " + error;
        }
        return count + " clean";
    }

    private static SSLSocket dial(SSLContext context, int port) throws Exception {
        SSLSocket socket = (SSLSocket) context.getSocketFactory().createSocket("127.0.0.1", port);
        SSLParameters parameters = socket.getSSLParameters();
        parameters.setServerNames(List.of(new SNIHostName("localhost")));
        parameters.setEndpointIdentificationAlgorithm("HTTPS");
        socket.setSSLParameters(parameters);
        socket.startHandshake();
        return socket;
    }

    private static SSLSocket accept(SSLContext context, int port) throws Exception {
        try (SSLServerSocket listener =
                (SSLServerSocket) context.getServerSocketFactory().createServerSocket(port)) {
            SSLSocket socket = (SSLSocket) listener.accept();
            socket.startHandshake();
            return socket;
        }
    }

    private static SSLContext context(Path folder) throws Exception {
        KeyStore keys = KeyStore.getInstance("PKCS12");
        keys.load(null, null);
        Certificate own = certificate(folder.resolve("certificate.pem"));
        keys.setKeyEntry("own", key(folder.resolve("key.pem")), new char[0], new Certificate[] {own});
        KeyManagerFactory ours =
                KeyManagerFactory.getInstance(KeyManagerFactory.getDefaultAlgorithm());
        ours.init(keys, new char[0]);
        KeyStore trusted = KeyStore.getInstance("PKCS12");
        trusted.load(null, null);
        trusted.setCertificateEntry("authority", certificate(folder.resolve("ca.pem")));
        TrustManagerFactory theirs =
                TrustManagerFactory.getInstance(TrustManagerFactory.getDefaultAlgorithm());
        theirs.init(trusted);
        SSLContext context = SSLContext.getInstance("TLS");
        context.init(ours.getKeyManagers(), theirs.getTrustManagers(), null);
        return context;
    }

    private static Certificate certificate(Path path) throws Exception {
        try (InputStream text = Files.newInputStream(path)) {
            return CertificateFactory.getInstance("X.509").generateCertificate(text);
        }
    }

    private static PrivateKey key(Path path) throws Exception {
        String body = Files.readString(path).replaceAll("-----[A-Z ]*-----|\\s", "");
        byte[] der = Base64.getDecoder().decode(body);
        return KeyFactory.getInstance("EC").generatePrivate(new PKCS8EncodedKeySpec(der));
    }
}
